"""Every file of a folder through the running service, by type and outcome (`ARGS=FOLDER`).

For folders of real and of malformed files. A file may be accepted, rejected or refused; it may not be answered with a
5xx, be late, or take a replica with it. Exit code 1 if one was.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.progress import track

from benchmarks.command import OUT, Anywhere, Out, Run, Url, console, scan_target
from benchmarks.outcomes import LATE_S
from benchmarks.processes import replicas, tree
from benchmarks.report import Check, Column, Section, Table, at_most
from serve_app.cli.pictures import pictures_in
from serve_app.cli.scanning import Scan, scan_all


def bench(
    folder: Annotated[Path, typer.Argument(help="Files of any kind.", show_default=False)],
    url: Url = None,
    concurrent: Annotated[int, typer.Option("--at-once", min=1, max=64, help="Files sent at once.")] = 2,
    out: Out = OUT,
    anywhere: Anywhere = False,
) -> None:
    """Send, count, compare the replicas before and after."""
    scan_url = scan_target(url, anywhere)
    run = Run("corpus", 0, scan_url)
    before = _processes(run.root)
    files = list(pictures_in([folder]))
    scans = list(track(scan_all(scan_url, files, concurrent), total=len(files), console=console, transient=True))
    wrong = [each for each in scans if each.status is None or each.status >= 500]
    for each in wrong:
        console.print(f"WRONG: {each.picture}: {each.status} {each.message}", markup=False)
    gone = before - _processes(run.root)
    slowest = max(scans, key=lambda each: each.elapsed_ms)
    checks = [
        at_most("files that were answered with a 5xx, or not at all", len(wrong), 0),
        at_most(f"the slowest answer ({Path(slowest.picture).name})", slowest.elapsed_ms / 1e3, LATE_S, "s", 2),
        Check("replicas that are other processes than before", str(len(gone)), "0", not gone),
    ]
    run.finish("Corpus", [Section(f"{len(scans)} files", "", _table(scans))], checks, out)


def _processes(root: psutil.Process | None) -> set[psutil.Process]:
    """The replicas of a service, or its one process."""
    return set(replicas("", tree(root)) or [root]) if root else set()


def _table(scans: list[Scan]) -> Table:
    outcomes = sorted({_outcome(each) for each in scans})
    counts = Counter((_kind(each), _outcome(each)) for each in scans)
    rows = [(kind, *(counts[kind, each] or "" for each in outcomes)) for kind in sorted({*map(_kind, scans)})]
    return Table((Column("type"), *map(Column, outcomes)), tuple(rows))


def _kind(scan: Scan) -> str:
    return Path(scan.picture).suffix.lower().lstrip(".").replace("jpeg", "jpg") or "none"


def _outcome(scan: Scan) -> str:
    return f"{scan.status} {scan.verdict or scan.reason}"
