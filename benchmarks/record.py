"""What a benchmark found, as plain data: shown in the terminal, kept as one JSON file, drawn on docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

Cell = float | int | str | None
"""None is what was not measured. It is shown as a dash, and never as a number."""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, with its unit, and the digits after the point of its numbers."""

    heading: str
    digits: int = 0

    def text(self, cell: Cell) -> str:
        """A cell as it is shown."""
        if isinstance(cell, float):
            return f"{cell:,.{self.digits}f}"
        return "-" if cell is None else str(cell)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as wide as ``columns``, under a heading. The first column names the row; ``note`` says how to read it."""

    heading: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """The heading, the rows as they are shown, and the note."""
        rows = [[column.text(cell) for cell, column in zip(row, self.columns, strict=True)] for row in self.rows]
        parts = (f"*{self.heading}*", _markdown([[each.heading for each in self.columns], *rows]), self.note)
        return "\n\n".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class Check:
    """A claim, the figure that was seen, and its limit. What was not measured (None) holds nothing."""

    claim: str
    seen: float | None
    limit: float
    is_at_least: bool = False
    unit: str = ""
    digits: int = 0

    @property
    def holds(self) -> bool:
        """Whether the figure keeps to its limit."""
        return self.seen is not None and (self.seen >= self.limit if self.is_at_least else self.seen <= self.limit)

    def texts(self) -> list[str]:
        """The claim, what was seen (bold where it is outside of its limit), and the limit."""
        seen = "not measured" if self.seen is None else f"{self.seen:.{self.digits}f} {self.unit}".strip()
        wanted = f"{'≥' if self.is_at_least else '≤'} {self.limit:g} {self.unit}".strip()
        return [self.claim, seen if self.holds else f"**{seen}**", wanted]


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one benchmark.

    Attributes:
        title: what was measured.
        command: how to run the same again, without secrets.
        service: how the service that was loaded had been started; None where the benchmark starts its own, or none.
        machine: what it was measured on and with, the commit among it (:func:`benchmarks.hardware.facts`).
        seed: of the pictures and the arrivals.
        measured_at: when the run began, with a time zone.
        tables: in the order in which they are read.
        checks: what the run was for.
    """

    title: str
    command: str
    service: str | None
    machine: Mapping[str, str]
    seed: int
    measured_at: datetime
    tables: tuple[Table, ...]
    checks: tuple[Check, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every check does."""
        return all(check.holds for check in self.checks)

    def markdown(self) -> str:
        """The tables and the checks, as the terminal and the page show them."""
        parts = [each.markdown() for each in self.tables]
        if self.checks:
            parts.append(_markdown([["check", "seen", "wanted"], *(each.texts() for each in self.checks)]))
        return "\n\n".join(parts)

    def to_json(self) -> str:
        """Everything, with numbers as numbers; a line for each attribute, so that a difference is one of lines."""
        plain: dict[str, object] = _RECORD.dump_python(self, mode="json")
        lines = (f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in plain.items())
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def of_json(cls, text: str) -> Record:
        """What :meth:`to_json` wrote. Raises pydantic's ValidationError, a ValueError, for anything else."""
        return _RECORD.validate_json(text)


_RECORD = TypeAdapter(Record)


def table(heading: str, columns: Mapping[str, int], rows: Iterable[Iterable[Cell]], note: str = "") -> Table:
    """A :class:`Table`; ``columns`` are the digits after the point of each column's numbers, by its heading."""
    return Table(heading, tuple(Column(*each) for each in columns.items()), tuple(tuple(row) for row in rows), note)


def at_most(claim: str, seen: float | None, limit: float, unit: str = "", digits: int = 0) -> Check:
    """A check that ``seen`` is not above ``limit``."""
    return Check(claim, seen, limit, False, unit, digits)


def at_least(claim: str, seen: float | None, limit: float, unit: str = "", digits: int = 0) -> Check:
    """A check that ``seen`` is not below ``limit``."""
    return Check(claim, seen, limit, True, unit, digits)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
