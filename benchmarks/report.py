"""What a benchmark found: as plain data, in the terminal, and as three files (Markdown, JSON, plots as SVG)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table as TerminalTable

from benchmarks.outcomes import Latencies, Point

FOLDER = Path("benchmark-results")

Cell = float | int | str | None
"""None is what was not measured. It is shown as a dash, and never as a number."""

_WIDEST = 300
_PLOT_INCHES = (9.0, 4.0)
_MOST_POINTS_WITH_DOTS = 25


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, with its unit, and the digits after the point of its numbers."""

    heading: str
    digits: int = 0

    def text(self, cell: Cell) -> str:
        """A cell as it is shown."""
        if isinstance(cell, float):
            return f"{cell:.{self.digits}f}"
        return "-" if cell is None else str(cell)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as wide as ``columns``. The first column names the row."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def texts(self) -> list[list[str]]:
        """The rows as they are shown."""
        return [[column.text(cell) for cell, column in zip(row, self.columns, strict=True)] for row in self.rows]


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over two axes. ``levels`` are marked on y, ``events`` on x, each by what it is called."""

    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[Point]]
    levels: Mapping[str, float]
    events: Mapping[str, float]
    is_log_x: bool = False
    is_log_y: bool = False

    @classmethod
    def of_latencies(cls, title: str, by_name: Mapping[str, Latencies]) -> Plot:
        """The share of answers that took at least so long: a line that runs far to the right has a few unlucky ones."""
        series = {name: each.distribution() for name, each in by_name.items()}
        return cls(title, "ms", "share of answers that took at least this long", series, {}, {}, True, True)

    @classmethod
    def timeline(
        cls,
        title: str,
        y: str,
        series: Mapping[str, Sequence[Point]],
        levels: Mapping[str, float] | None = None,
        events: Mapping[str, float] | None = None,
    ) -> Plot:
        """Over seconds since the load began."""
        return cls(title, "seconds since the load began", y, series, levels or {}, events or {})


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


def at_most(claim: str, seen: float | None, limit: float, unit: str = "", digits: int = 0) -> Check:
    """A check that ``seen`` is not above ``limit``. What was not measured holds nothing."""
    is_held = seen is not None and seen <= limit
    return Check(claim, _quantity(seen, unit, digits), f"≤ {limit:g} {unit}".strip(), is_held)


def at_least(claim: str, seen: float | None, limit: float, unit: str = "", digits: int = 0) -> Check:
    """A check that ``seen`` is not below ``limit``."""
    is_held = seen is not None and seen >= limit
    return Check(claim, _quantity(seen, unit, digits), f"≥ {limit:g} {unit}".strip(), is_held)


def finish(report: Report, name: str, folder: Path, console: Console) -> int:
    """Write the files, show the tables, and return the command's exit code: 1 if a check does not hold.

    Args:
        report: of the run.
        name: of the benchmark; the files are called by it and by the moment at which the run started.
        folder: is made if it is not there.
        console: the terminal.
    """
    # A table that is wider than the terminal is easier to read than one whose words are cut.
    wide = Console(file=console.file, width=_WIDEST, highlight=False)
    for section in report.sections:
        console.print(f"\n{section.heading}", style="bold", markup=False)
        if section.note:
            console.print(section.note, markup=False)
        if section.table:
            wide.print(_for_terminal([each.heading for each in section.table.columns], section.table.texts()))
    if report.checks:
        wide.print(_for_terminal(_CHECK_HEADINGS, _check_texts(report)))
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}-{report.started_at:%Y%m%d-%H%M%S}"
    markdown, data, drawing = (stem.with_suffix(suffix) for suffix in (".md", ".json", ".svg"))
    plots = [plot for section in report.sections for plot in section.plots]
    markdown.write_text(to_markdown(report, drawing.name if plots else None), "utf-8")
    data.write_text(to_json(report), "utf-8")
    if plots:
        draw(plots, drawing)
    for path in (markdown, data, *([drawing] if plots else [])):
        console.print(str(path), markup=False, soft_wrap=True)
    return 0 if report.holds else 1


def to_json(report: Report) -> str:
    """Everything, plots included, with numbers as numbers."""
    plain = {**asdict(report), "started_at": report.started_at.isoformat(), "holds": report.holds}
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def to_markdown(report: Report, drawing: str | None = None) -> str:
    """For a terminal, a commit or a comment. ``drawing``: the file of the plots."""
    parts = [f"# {report.title}", f"`{report.command}`, {report.started_at:%Y-%m-%d %H:%M %Z}, seed {report.seed}"]
    parts.append("\n".join(f"* {name}: {value}" for name, value in report.machine.items()))
    if report.checks:
        parts.append(_markdown_table(_CHECK_HEADINGS, _check_texts(report)))
    for section in report.sections:
        parts.append(f"## {section.heading}")
        if section.note:
            parts.append(section.note)
        if section.table:
            parts.append(_markdown_table([each.heading for each in section.table.columns], section.table.texts()))
    if drawing:
        parts.append(f"![plots]({drawing})")
    return "\n\n".join(parts) + "\n"


def draw(plots: Sequence[Plot], file: Path) -> None:
    """One drawing of all ``plots``, one below the other."""
    # Not at the top: it takes a second, which no measurement is to pay for.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_PLOT_INCHES[0], _PLOT_INCHES[1] * len(plots)), layout="constrained")
    for plot, axes in zip(plots, figure.subplots(len(plots), squeeze=False)[:, 0], strict=True):
        axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
        for name, points in plot.series.items():
            # A logarithmic axis has no place for zero.
            placed = [(x, y) for x, y in points if (x > 0 or not plot.is_log_x) and (y > 0 or not plot.is_log_y)]
            if placed:
                marker = "o" if len(placed) <= _MOST_POINTS_WITH_DOTS else None
                axes.plot(*zip(*placed, strict=True), label=name, marker=marker)
                axes.set(xscale="log" if plot.is_log_x else "linear", yscale="log" if plot.is_log_y else "linear")
        for name, at in plot.levels.items():
            axes.axhline(at, label=name, color="grey", linestyle="--")
        for name, at in plot.events.items():
            axes.axvline(at, label=name, color="black", linestyle=":")
        axes.grid(visible=True, alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.savefig(file)


_CHECK_HEADINGS = ("check", "seen", "wanted", "holds")


def _check_texts(report: Report) -> list[list[str]]:
    return [[each.claim, each.seen, each.wanted, "yes" if each.holds else "**NO**"] for each in report.checks]


def _quantity(value: float | None, unit: str, digits: int) -> str:
    return "not measured" if value is None else f"{value:.{digits}f} {unit}".strip()


def _for_terminal(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> TerminalTable:
    shown = TerminalTable(box=None, pad_edge=False)
    for place, heading in enumerate(headings):
        shown.add_column(escape(heading), justify="right" if place else "left")
    for row in rows:
        shown.add_row(*map(escape, row))
    return shown


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
