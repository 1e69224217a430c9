"""What lists and ledger cost, how soon they work, and whether they lose anything. Starts its own services."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.command import Out, Run, Seed, console
from benchmarks.decision_parts import commits, kills, known, list_changes, pdq_hashes, share
from benchmarks.decision_parts.part import Options, Part
from benchmarks.lists import measure_lookups
from benchmarks.record import Check, Table
from benchmarks.servers import NotServedError

MEDIA_ENV = "PICTWARDEN_MEDIA"

_LOOKUPS = 400


class PartName(StrEnum):
    """What can be measured by itself."""

    COMMIT = "commit"
    KNOWN = "known"
    PDQ = "pdq"
    LOOKUP = "lookup"
    SHARE = "share"
    LISTS = "lists"
    KILLS = "kills"


def _lookups(options: Options) -> Part:
    """Of lists whose hashes are spread evenly; `python -m benchmarks lists` has worse ones."""
    table, checks = measure_lookups([("spread", 1_000_000), ("spread", 10_000_000)], _LOOKUPS, options.seed)
    return Part((table,), tuple(checks))


# Those that kill come last: what Ray Serve needs in the environment stays there.
PARTS: Mapping[PartName, Callable[[Options], Part]] = {
    PartName.COMMIT: commits.measure,
    PartName.KNOWN: known.measure,
    PartName.PDQ: pdq_hashes.measure,
    PartName.LOOKUP: _lookups,
    PartName.SHARE: share.measure,
    PartName.LISTS: list_changes.measure,
    PartName.KILLS: kills.measure,
}


def bench(
    only: Annotated[list[PartName] | None, typer.Option(help="Only this part; repeatable. By default all.")] = None,
    media: Annotated[
        list[Path] | None,
        typer.Option(envvar=MEDIA_ENV, exists=True, file_okay=False, help="Folder of JPEGs for PDQ; else drawn ones."),
    ] = None,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if a limit is missed, 2 if a service did not start."""
    run = Run("decisions", seed, out)
    tables: list[Table] = []
    checks: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="pw-bench-", ignore_cleanup_errors=True) as folder:
        for name, measure in PARTS.items():
            if only and name not in only:
                continue
            console.print(f"measuring: {name}")
            try:
                part = measure(Options(seed, media or [], Path(folder)))
            except NotServedError as error:
                console.print(str(error), markup=False)
                raise typer.Exit(2) from None
            tables += part.tables
            checks += part.checks
    run.finish("Lists and ledger", tables, checks)
