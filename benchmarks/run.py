"""One run of a command, from its first line to its report: the same for every command that loads a service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

from benchmarks import hardware
from benchmarks.neighbours import Neighbours
from benchmarks.output import finish
from benchmarks.report import Check, Report, Section
from benchmarks.target import command_line


class Run:
    """Begins when it is made."""

    def __init__(self, name: str, url: str, seed: int, console: Console) -> None:
        """Says what is measured on.

        Args:
            name: of the command's module.
            url: of the service.
            seed: of the pictures and arrivals.
            console: the terminal.
        """
        self._name = name
        self._seed = seed
        self._console = console
        self._started_at = datetime.now(UTC)
        self._machine = hardware.facts()
        self._neighbours = Neighbours(url)
        console.print(f"{hardware.describe()}; the load is made on the same cores; seed {seed}", soft_wrap=True)

    def finish(self, title: str, sections: Sequence[Section], checks: Sequence[Check], out: Path) -> NoReturn:
        """Report, and end the command: exit code 1 if a check does not hold."""
        others = self._neighbours.cores()
        busy = "cannot be seen from here" if others is None else f"{others:.2f} of {hardware.cores()} cores, on average"
        self._console.print(f"others on this machine: {busy}")
        machine = {**self._machine, "others during the run": busy}
        report = Report(title, command_line(self._name), machine, self._seed, self._started_at, sections, checks)
        raise typer.Exit(finish(report, self._name, out, self._console))
