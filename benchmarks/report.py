"""What a benchmark found, as plain data, and the same as Markdown and as JSON. The page is :mod:`benchmarks.page`.

Nothing here touches a file or a terminal: :mod:`benchmarks.output` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from benchmarks.plots import Plot

Cell = float | int | str | None
"""None is what was not measured. It is shown as a dash, and never as a number."""

_NOT_MEASURED = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, with its unit, and the digits after the point of its numbers."""

    heading: str
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as wide as ``columns``. The first column names the row."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def texts(self) -> list[list[str]]:
        """The rows as they are shown."""
        return [[cell_text(cell, column) for cell, column in zip(row, self.columns, strict=True)] for row in self.rows]


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a report. ``note`` says how its figures are to be read."""

    heading: str
    note: str = ""
    table: Table | None = None
    plots: tuple[Plot, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A claim, what was seen and what was wanted. A run with a check that does not hold has failed."""

    claim: str
    seen: str
    wanted: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one benchmark.

    Attributes:
        title: what was measured.
        command: how to run the same again, without secrets.
        machine: what it was measured on and with, by name (see :func:`benchmarks.hardware.facts`).
        seed: of the pictures and the arrivals.
        started_at: with a time zone.
        sections: in the order in which they are read.
        checks: what the run was for.
    """

    title: str
    command: str
    machine: Mapping[str, str]
    seed: int
    started_at: datetime
    sections: Sequence[Section]
    checks: Sequence[Check] = ()

    @property
    def holds(self) -> bool:
        """Whether every check does."""
        return all(check.holds for check in self.checks)


def at_most(claim: str, seen: float | None, limit: float, unit: str, digits: int = 0) -> Check:
    """A check that ``seen`` is not above ``limit``. What was not measured holds nothing."""
    return Check(
        claim, _quantity(seen, unit, digits), f"≤ {limit:g} {unit}".strip(), seen is not None and seen <= limit
    )


def at_least(claim: str, seen: float | None, limit: float, unit: str, digits: int = 0) -> Check:
    """A check that ``seen`` is not below ``limit``."""
    return Check(
        claim, _quantity(seen, unit, digits), f"≥ {limit:g} {unit}".strip(), seen is not None and seen >= limit
    )


def cell_text(cell: Cell, column: Column) -> str:
    """A cell as it is shown in ``column``."""
    match cell:
        case None:
            return _NOT_MEASURED
        case str():
            return cell
        case int():
            return str(cell)
        case float():
            return f"{cell:.{column.digits}f}"


def to_json(report: Report) -> str:
    """Everything, plots included, with numbers as numbers."""
    plain = {
        "title": report.title,
        "command": report.command,
        "machine": dict(report.machine),
        "seed": report.seed,
        "started_at": report.started_at.isoformat(),
        "holds": report.holds,
        "checks": [asdict(check) for check in report.checks],
        "sections": [asdict(section) for section in report.sections],
    }
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def to_markdown(report: Report) -> str:
    """For a terminal, a commit or a comment; without the plots."""
    parts = [f"# {report.title}", f"`{report.command}`, {report.started_at:%Y-%m-%d %H:%M %Z}, seed {report.seed}"]
    parts.append("\n".join(f"* {name}: {value}" for name, value in report.machine.items()))
    if report.checks:
        rows = [[each.claim, each.seen, each.wanted, "yes" if each.holds else "**NO**"] for each in report.checks]
        parts.append(_markdown_table(["check", "seen", "wanted", "holds"], rows))
    for section in report.sections:
        parts.append(f"## {section.heading}")
        if section.note:
            parts.append(section.note)
        if section.table:
            parts.append(_markdown_table([each.heading for each in section.table.columns], section.table.texts()))
    return "\n\n".join(parts) + "\n"


def _quantity(value: float | None, unit: str, digits: int) -> str:
    return "not measured" if value is None else f"{value:.{digits}f} {unit}".strip()


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
