"""What every command shares: its options, what it may be aimed at, and one run from its first line to its record."""

from __future__ import annotations

import ipaddress
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

import psutil
import typer
from rich.console import Console
from rich.markdown import Markdown

from benchmarks import hardware
from benchmarks.load import Target, find_capacity
from benchmarks.outcomes import Load, statuses
from benchmarks.processes import command_of, cpu_s, service_root, tree
from benchmarks.record import Check, Record, Table
from serve_app.cli.local_service import URL_ENV, known_url

Url = Annotated[str | None, typer.Option(envvar=URL_ENV, help="Scan URL; by default that of `make run`.")]
Anywhere = Annotated[bool, typer.Option(help="Allow a target on another machine: ask those who run it first.")]
Out = Annotated[Path | None, typer.Option(help="The record's file; by default one in benchmark-results.")]
Connections = Annotated[
    int | None,
    typer.Option(min=1, help="That never rest, for the capacity; by default as many connections as gain something."),
]
Seed = Annotated[int, typer.Option(help="Of the pictures and of the arrivals.")]

Only = Annotated[list[str] | None, typer.Option(help="The beginning of a name; repeatable. By default all.")]

console = Console(highlight=False)

_FOLDER = Path("benchmark-results")
_WIDEST = 300
_HIDDEN = ("--out", "--port", "--url")
"""Options that differ from run to run and say nothing of what was measured."""


class Run:
    """One run of a command. Begins when it is made."""

    def __init__(self, name: str, seed: int, out: Path | None, url: str | None = None) -> None:
        """Says what is measured on.

        Args:
            name: of the command's module.
            seed: of the pictures and arrivals.
            out: the record's file.
            url: of the service, where one is loaded.
        """
        self._name, self._seed = name, seed
        self._measured_at = datetime.now(UTC)
        self._out = out or _FOLDER / f"{name}-{self._measured_at:%Y%m%d-%H%M%S}.json"
        self._machine = hardware.facts()
        self.root = service_root(url) if url else None
        """The service's first process; None where it cannot be seen."""
        self._began_s, self._busy_s, self._ours_s = time.perf_counter(), hardware.busy_s(), self._ours()
        console.print(f"{hardware.describe(self._machine)}; the load is made on the same cores", soft_wrap=True)

    def finish(self, title: str, tables: Sequence[Table], checks: Sequence[Check]) -> NoReturn:
        """Show and write the record, and end the command: exit code 1 if a check does not hold."""
        facts = dict(self._machine)
        service = None
        if self.root is not None:
            others_s = max(0.0, hardware.busy_s() - self._busy_s - (self._ours() - self._ours_s))
            facts["others during the run"] = f"{others_s / (time.perf_counter() - self._began_s):.2f} cores"
            service = started_with(command_of(self.root))
        line = " ".join(["python -m benchmarks", self._name, *shown_arguments(sys.argv[1:])])
        record = Record(title, line, service, facts, self._seed, self._measured_at, tuple(tables), tuple(checks))
        # A table that is wider than the terminal is easier to read than one whose words are cut.
        Console(width=_WIDEST).print(Markdown(record.markdown(), justify="default"))
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._out.write_text(record.to_json(), "utf-8")
        for missed in (check.claim for check in checks if not check.holds):
            console.print(f"missed: {missed}", markup=False, soft_wrap=True)
        console.print(str(self._out), markup=False, soft_wrap=True)
        raise typer.Exit(0 if record.holds else 1)

    def _ours(self) -> float:
        """Processor time of the service and of this process, with its children that have ended."""
        own = psutil.Process()
        service = {*(tree(self.root) if self.root else []), *own.children(recursive=True)} - {own}
        return float(sum(own.cpu_times()[:4])) + sum(map(cpu_s, service))


def give_up(why: str) -> NoReturn:
    """End the command, which could not measure: exit code 2."""
    console.print(why, markup=False, soft_wrap=True)
    raise typer.Exit(2)


def chosen(names: Iterable[str], only: Sequence[str] | None) -> list[str]:
    """Those of ``names`` that begin with one of ``only``; ends the command with exit code 2 if there are none."""
    names = list(names)
    found = [name for name in names if only is None or name.lower().startswith(tuple(each.lower() for each in only))]
    if not found:
        give_up(f"no name begins like that; there are {', '.join(names)}")
    return found


def scan_target(url: str | None, anywhere: bool) -> str:
    """The scan URL to be loaded; ends the command with exit code 2 where there is none, or none that may be."""
    target = url or known_url()
    if target is None:
        give_up("no service known here: start one with `make run`, or give its scan URL with --url")
    if not anywhere and not is_loopback(target):
        give_up(
            f"{urlsplit(target).hostname} is another machine. A benchmark is an attack on a service that others use: "
            "give --anywhere if they know about it"
        )
    return target


def require_goodput(load: Load) -> Load:
    """``load``; ends the command with exit code 2 if nothing was scanned: a share of no capacity is no load."""
    if load.goodput_per_s <= 0:
        give_up(f"no picture was scanned, so there is no capacity to load: {statuses(load.outcomes)}")
    return load


def measured_capacity(target: Target, duration_s: float, connections: int | None) -> Load:
    """The load of as many connections as get most through (:func:`benchmarks.load.find_capacity`).

    Ends the command with exit code 2 if nothing was scanned.
    """
    with console.status("capacity"):
        return require_goodput(find_capacity(target, duration_s, connections))


def is_loopback(url: str) -> bool:
    """Whether ``url`` names this machine by a loopback address or as ``localhost``."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def shown_arguments(arguments: Sequence[str]) -> list[str]:
    """Arguments without URLs, which hold secrets, without what differs from run to run, and without folders of ours."""
    shown: list[str] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if option in _HIDDEN:
            if not equals:
                next(words, None)
            continue
        path = Path(value)
        if "://" in value:
            value = "..."
        elif path.is_absolute():
            value = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name
        shown.append(f"{option}{equals}{value}")
    return shown


def started_with(command: Sequence[str]) -> str:
    """How a service was started, from its process's command line: a shorter one that does the same."""
    words = shown_arguments(command[1:])
    if words[:2] == ["-m", "serve_app.cli"]:
        words = ["pictwarden", *words[2:]]
    return " ".join(words if words[:1] == ["pictwarden"] else ["python", *words])
