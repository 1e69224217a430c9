"""What every command shares: its options, what it may be aimed at, and one run from its first line to its report."""

from __future__ import annotations

import ipaddress
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

import psutil
import typer
from rich.console import Console

from benchmarks import hardware
from benchmarks.outcomes import Outcome, statuses
from benchmarks.processes import cpu_s, service_root, tree
from benchmarks.report import FOLDER, Check, Report, Section, finish
from serve_app.cli.connection import URL_ENV, known_url

Url = Annotated[str | None, typer.Option(envvar=URL_ENV, help="Scan URL; by default that of `make run`.")]
Anywhere = Annotated[bool, typer.Option(help="Allow a target on another machine: ask those who run it first.")]
Out = Annotated[Path, typer.Option(help="Folder of the report's files.")]
Connections = Annotated[
    int | None,
    typer.Option(min=1, help="That never rest while capacity is measured; by default as many as gain something."),
]
Seed = Annotated[int, typer.Option(help="Of the pictures and of the arrivals.")]

OUT = FOLDER

console = Console(highlight=False)


class Run:
    """One run of a command. Begins when it is made."""

    def __init__(self, name: str, seed: int, url: str | None = None) -> None:
        """Says what is measured on.

        Args:
            name: of the command's module.
            seed: of the pictures and arrivals.
            url: of the service, where one is loaded.
        """
        self._name = name
        self._seed = seed
        self._started_at = datetime.now(UTC)
        self._machine = hardware.facts()
        self.root = service_root(url) if url else None
        """The service's first process; None where it cannot be seen."""
        self._began_s, self._busy_s, self._ours_s = time.perf_counter(), hardware.busy_s(), self._ours()
        console.print(f"{hardware.describe()}; the load is made on the same cores; seed {seed}", soft_wrap=True)

    def finish(
        self,
        title: str,
        sections: Sequence[Section],
        checks: Sequence[Check],
        out: Path,
        machine: Mapping[str, str] | None = None,
    ) -> NoReturn:
        """Report, and end the command: exit code 1 if a check does not hold. ``machine``: more facts about it."""
        facts = {**self._machine, **(machine or {})}
        if self.root is not None:
            others_s = max(0.0, hardware.busy_s() - self._busy_s - (self._ours() - self._ours_s))
            busy = f"{others_s / (time.perf_counter() - self._began_s):.2f} of {hardware.cores()} cores, on average"
            console.print(f"others on this machine: {busy}")
            facts["others during the run"] = busy
        line = command_line(self._name, sys.argv[1:])
        report = Report(title, line, facts, self._seed, self._started_at, sections, checks)
        raise typer.Exit(finish(report, self._name, out, console))

    def _ours(self) -> float:
        """Processor time of the service and of this process, with its children that have ended."""
        own = psutil.Process()
        times = own.cpu_times()
        service = {*(tree(self.root) if self.root else []), *own.children(recursive=True)} - {own}
        return float(sum(times[:4])) + sum(map(cpu_s, service))


def scan_target(url: str | None, anywhere: bool) -> str:
    """The scan URL to be loaded; ends the command with exit code 2 where there is none, or none that may be."""
    target = url or known_url()
    if target is None:
        console.print("no service known here: start one with `make run`, or give its scan URL with --url")
        raise typer.Exit(2)
    require_permission(target, anywhere)
    return target


def require_permission(url: str, anywhere: bool) -> None:
    """End the command with exit code 2 unless ``url`` is on this machine or ``anywhere`` was given."""
    if not anywhere and not is_loopback(url):
        console.print(
            f"{shown_url(url)} is not on this machine. A benchmark is an attack on a service that others use: "
            "give --anywhere if they know about it",
            soft_wrap=True,
            markup=False,
        )
        raise typer.Exit(2)


def require_goodput(rate_per_s: float, outcomes: Sequence[Outcome]) -> None:
    """End the command with exit code 2 if nothing was scanned: a share of no capacity is no load."""
    if rate_per_s <= 0:
        console.print(f"no picture was scanned, so there is no capacity to load: {statuses(outcomes)}")
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


def command_line(name: str, arguments: Sequence[str]) -> str:
    """How the same is run again, without secrets."""
    return " ".join(["python -m benchmarks", name, *map(_without_secret, arguments)])


def _without_secret(argument: str) -> str:
    """``URL`` or ``--option=URL`` with the URL as it is shown; anything else as it is."""
    if "://" not in argument:
        return argument
    option, equals, url = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return f"{option}{equals}{shown_url(url)}"
