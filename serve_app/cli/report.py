"""Scans as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from serve_app.cli.scanning import Scan

_STYLES = {"accept": "green", "flag": "yellow", "reject": "bold red", None: "magenta"}


def scan_table(scans: Sequence[Scan]) -> Table:
    """One row a picture: verdict, rule, the scores that decided, milliseconds, and the reason in words."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("picture", overflow="fold")
    table.add_column("verdict")
    table.add_column("rule")
    table.add_column("scores")
    table.add_column("ms", justify="right")
    table.add_column("why", overflow="fold")
    for each in scans:
        verdict = each.verdict or f"none ({each.reason})"
        table.add_row(
            escape(each.picture),
            f"[{_STYLES.get(each.verdict, 'magenta')}]{escape(verdict)}[/]",
            escape(each.rule or "-"),
            " ".join(f"{escape(concept)}={score:.2f}" for concept, score in each.scores.items()) or "-",
            f"{each.elapsed_ms:.0f}",
            escape(each.message),
        )
    return table


def summary(scans: Sequence[Scan]) -> str:
    """One line of counts."""
    rejected = sum(each.is_rejected for each in scans)
    errors = sum(each.is_error for each in scans)
    return f"{len(scans)} pictures: {len(scans) - rejected - errors} kept, {rejected} rejected, {errors} not looked at"
