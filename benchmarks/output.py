"""Where reports go: three files, and the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table as TerminalTable

from benchmarks.page import to_html
from benchmarks.report import Report, Table, to_json, to_markdown

FOLDER = Path("benchmark-results")

_WIDEST = 300


def finish(report: Report, name: str, folder: Path, console: Console) -> int:
    """Write the three files, show the tables, and return the command's exit code: 1 if a check does not hold.

    Args:
        report: of the run.
        name: of the benchmark; the files are called by it and by the moment at which the run started.
        folder: is made if it is not there.
        console: the terminal.
    """
    # A table that is wider than the terminal is easier to read than one whose words are cut.
    wide = Console(file=console.file, width=_WIDEST, highlight=False)
    for section in report.sections:
        console.print("\n" + section.heading, style="bold", markup=False)
        if section.note:
            console.print(section.note, markup=False)
        if section.table:
            wide.print(_for_terminal(section.table))
    if report.checks:
        console.print(_checks_for_terminal(report))
    for path in write(report, name, folder):
        console.print(str(path), markup=False, soft_wrap=True)
    return 0 if report.holds else 1


def write(report: Report, name: str, folder: Path) -> list[Path]:
    """The report as ``.md``, ``.json`` and ``.html``; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}-{report.started_at:%Y%m%d-%H%M%S}"
    texts = {".md": to_markdown(report), ".json": to_json(report), ".html": to_html(report)}
    paths = []
    for suffix, text in texts.items():
        path = stem.with_suffix(suffix)
        path.write_text(text, "utf-8")
        paths.append(path)
    return paths


def _for_terminal(table: Table) -> TerminalTable:
    shown = TerminalTable(box=None, pad_edge=False)
    for place, column in enumerate(table.columns):
        shown.add_column(column.heading, justify="right" if place else "left")
    for row in table.texts():
        shown.add_row(*map(escape, row))
    return shown


def _checks_for_terminal(report: Report) -> TerminalTable:
    shown = TerminalTable("\ncheck", "\nseen", "\nwanted", "\nholds", box=None, pad_edge=False)
    for check in report.checks:
        verdict = "[green]yes[/green]" if check.holds else "[bold red]NO[/bold red]"
        shown.add_row(escape(check.claim), escape(check.seen), escape(check.wanted), verdict)
    return shown
