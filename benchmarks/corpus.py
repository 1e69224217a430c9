"""``make bench-corpus ARGS=FOLDER``: every file of a folder through the running service, by type and outcome.

For folders of real and of malformed files. A file may be accepted, rejected or refused; it may not be answered with a
5xx, be late, or take a replica with it. Exit code 1 if one was.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import hardware
from serve_app.cli.connection import URL_ENV, known_url
from serve_app.cli.pictures import pictures_in
from serve_app.cli.scanning import Scan, scan_all

DEADLINE_S = 8.5
"""The service's own deadline and the half second that an answer may take longer."""

_REPLICA = "ray::ServeReplica:pictwarden:"

console = Console(highlight=False)


def bench(
    folder: Annotated[Path, typer.Argument(help="Files of any kind.", show_default=False)],
    url: Annotated[str | None, typer.Option(envvar=URL_ENV, help="Scan URL; by default that of `make run`.")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Files sent at once.")] = 2,
) -> None:
    """Send, count, compare the replicas before and after."""
    scan_url = url or known_url()
    if scan_url is None:
        console.print("no service known here: start one with `make run`, or give its scan URL with --url")
        raise typer.Exit(2)
    console.print(hardware.describe())
    before = _replicas()
    files = list(pictures_in([folder]))
    scans = list(track(scan_all(scan_url, files, at_once), total=len(files), console=console, transient=True))
    console.print(_table(scans))
    slowest = max(scans, key=lambda each: each.elapsed_ms)
    wrong = [each for each in scans if each.status is None or each.status >= 500 or each.elapsed_ms > DEADLINE_S * 1e3]
    for each in wrong:
        console.print(f"WRONG: {each.picture}: {each.status} {each.message}", markup=False)
    is_same = _replicas() == before
    console.print(
        f"{len(scans)} files; slowest {slowest.elapsed_ms:.0f} ms ({Path(slowest.picture).name})", markup=False
    )
    console.print("every replica is the same process as before" if is_same else "A REPLICA IS ANOTHER PROCESS NOW")
    raise typer.Exit(1 if wrong or not is_same else 0)


def _table(scans: list[Scan]) -> Table:
    outcomes = sorted({_outcome(each) for each in scans})
    counts = Counter((_kind(each), _outcome(each)) for each in scans)
    table = Table("type", box=None, pad_edge=False)
    for outcome in outcomes:
        table.add_column(outcome, justify="right")
    for kind in sorted({_kind(each) for each in scans}):
        table.add_row(kind, *(str(counts[kind, outcome] or "") for outcome in outcomes))
    return table


def _kind(scan: Scan) -> str:
    return Path(scan.picture).suffix.lower().lstrip(".").replace("jpeg", "jpg") or "none"


def _outcome(scan: Scan) -> str:
    return f"{scan.status} {scan.verdict or scan.reason}"


def _replicas() -> set[tuple[int, str]]:
    """Process and title of every replica on this machine."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            title = " ".join(process.cmdline())
            if title.startswith(_REPLICA):
                found.add((process.pid, title))
    return found


if __name__ == "__main__":
    typer.run(bench)
