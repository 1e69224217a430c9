"""Scans as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os.path import commonpath
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from serve_app.cli.report import printable, told_scores

if TYPE_CHECKING:
    from serve_app.cli.check.scanning import Scan

_STYLES = {"accept": "green", "flag": "yellow", "reject": "bold red", None: "magenta"}


def scan_table(scans: Sequence[Scan]) -> Table:
    """One row per picture: verdict, rule, milliseconds, and the reason."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("picture", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for each in scans:
        verdict = each.verdict or f"none ({each.reason})"
        table.add_row(
            # As texts: a file's name may hold brackets, which are Rich's markup in a plain string.
            Text(printable(each.picture)),
            Text(verdict, _STYLES.get(each.verdict, "magenta")),
            Text(each.rule or "-"),
            f"{each.elapsed_ms:.0f}",
            Text(_why(each)),
        )
    return table


def without_common_folder(scans: Sequence[Scan]) -> tuple[str, list[Scan]]:
    """The folder that all pictures lie in, empty if there is none, and the scans with their names in it."""
    pictures = [PurePath(each.picture) for each in scans]
    try:
        folder = commonpath([each.parent for each in pictures])
    except ValueError:  # no pictures; or absolute paths among relative ones
        return "", list(scans)
    if folder in ("", "/"):
        return "", list(scans)
    names = (str(each.relative_to(folder)) for each in pictures)
    return folder, [replace(each, picture=name) for each, name in zip(scans, names, strict=True)]


def _why(scan: Scan) -> str:
    """The concept scores and the margin; without scores, in words: a list decided, or the picture was not scanned."""
    if not scan.scores:
        return scan.message
    scores = told_scores(scan.scores, decimals=2)
    return scores if scan.margin is None else f"{scores} ({scan.margin:+.2f})"
