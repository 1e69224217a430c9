"""What lists and ledger cost, how soon they work, and whether they lose anything. Starts its own services."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.command import Only, Out, Run, Seed, chosen, console, give_up
from benchmarks.decision_parts import commits, kills, known, list_changes, pdq_hashes, share
from benchmarks.decision_parts.part import Options, Part
from benchmarks.lists import measure_lookups
from benchmarks.record import Check, Table
from benchmarks.servers import NotServedError

MEDIA_ENV = "PICTWARDEN_MEDIA"

_LOOKUPS = 400


def _lookups(options: Options) -> Part:
    """Of lists whose hashes are spread evenly; `python -m benchmarks lists` has worse ones."""
    return measure_lookups([("spread", 1_000_000), ("spread", 10_000_000)], _LOOKUPS, options.seed)


# Those that kill come last: what Ray Serve needs in the environment stays there.
PARTS: Mapping[str, Callable[[Options], Part]] = {
    "commit": commits.measure,
    "known": known.measure,
    "pdq": pdq_hashes.measure,
    "lookup": _lookups,
    "share": share.measure,
    "lists": list_changes.measure,
    "kills": kills.measure,
}


def bench(
    only: Only = None,
    media: Annotated[
        list[Path] | None,
        typer.Option(envvar=MEDIA_ENV, exists=True, file_okay=False, help="Folder of JPEGs for PDQ; else drawn ones."),
    ] = None,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if a limit is missed, 2 if a service did not start."""
    names = chosen(PARTS, only)
    run = Run("decisions", seed, out)
    tables: list[Table] = []
    checks: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="pw-bench-", ignore_cleanup_errors=True) as folder:
        for name in names:
            console.print(f"measuring: {name}")
            try:
                found, claims = PARTS[name](Options(seed, media or [], Path(folder)))
            except NotServedError as error:
                give_up(str(error))
            tables += found
            checks += claims
    run.finish("Lists and ledger", tables, checks)
