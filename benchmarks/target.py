"""What a benchmark is aimed at, and how that is told without its secret."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from benchmarks.outcomes import Outcome, statuses
from benchmarks.output import FOLDER
from serve_app.cli.connection import URL_ENV, known_url

Url = Annotated[str | None, typer.Option(envvar=URL_ENV, help="Scan URL; by default that of `make run`.")]
Anywhere = Annotated[bool, typer.Option(help="Allow a target on another machine: ask those who run it first.")]
Out = Annotated[Path, typer.Option(help="Folder of the report's three files.")]
Connections = Annotated[
    int | None,
    typer.Option(min=1, help="That never rest while capacity is measured; by default as many as gain something."),
]
Seed = Annotated[int, typer.Option(help="Of the pictures and of the arrivals.")]

OUT = FOLDER


def scan_target(url: str | None, anywhere: bool, console: Console) -> str:
    """The scan URL to be loaded; ends the command with exit code 2 where there is none, or none that may be."""
    target = url or known_url()
    if target is None:
        console.print("no service known here: start one with `make run`, or give its scan URL with --url")
        raise typer.Exit(2)
    require_permission(target, anywhere, console)
    return target


def require_permission(url: str, anywhere: bool, console: Console) -> None:
    """End the command with exit code 2 unless ``url`` is on this machine or ``anywhere`` was given."""
    if not anywhere and not is_loopback(url):
        console.print(
            f"{shown_url(url)} is not on this machine. A benchmark is an attack on a service that others use: "
            "give --anywhere if they know of it",
            soft_wrap=True,
            markup=False,
        )
        raise typer.Exit(2)


def require_goodput(rate_per_s: float, outcomes: Sequence[Outcome], console: Console) -> None:
    """End the command with exit code 2 if nothing was looked at: a share of no capacity is no load."""
    if rate_per_s <= 0:
        console.print(f"no picture was looked at, so there is no capacity to load: {statuses(outcomes)}")
        raise typer.Exit(2)


def is_loopback(url: str) -> bool:
    """Whether ``url`` names this machine by a loopback address or as ``localhost``."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def shown_url(url: str) -> str:
    """``url`` without what lets one in: user, password, query and the last segment of the path."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rpartition('/')[0]}/..."


def command_line(module: str, arguments: Sequence[str] | None = None) -> str:
    """How the same is run again, without secrets."""
    given = sys.argv[1:] if arguments is None else arguments
    return " ".join(["python -m", f"benchmarks.{module}", *map(_without_secret, given)])


def _without_secret(argument: str) -> str:
    """``URL`` or ``--option=URL`` with the URL as it is shown; anything else as it is."""
    if "://" not in argument:
        return argument
    option, equals, url = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return f"{option}{equals}{shown_url(url)}"
