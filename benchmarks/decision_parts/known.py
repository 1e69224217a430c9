"""How soon bytes are answered that the service has scanned before."""

from __future__ import annotations

import asyncio

from benchmarks import load
from benchmarks.decision_parts.part import KNOWN_PICTURES, Options, Part, known_bodies
from benchmarks.decision_parts.services import home_in, serving
from benchmarks.outcomes import Latencies, Load
from benchmarks.record import Cell, Column, Table, at_most

_MOST_MS = 3.0
_TIMES = 8
_PICTURE_BYTES = 200_000


def measure(options: Options) -> Part:
    """One after another, to a service in one process with its ledger in a SQLite file."""
    make_body = known_bodies(_PICTURE_BYTES, options.seed)
    with serving(home_in(options.folder / "known"), {}) as started:
        first = asyncio.run(load.each_in_turn(started.url, make_body, KNOWN_PICTURES))
        again = asyncio.run(load.each_in_turn(started.url, make_body, _TIMES * KNOWN_PICTURES))
    times = _service_times(again)
    columns = (Column("pictures"), Column("answers"), Column("p50 ms", 2), Column("p99 ms", 2))
    note = (
        "Pictures of 200 KB, one after another; milliseconds from the first byte to the answer, by the service's clock."
    )
    rows = (_row("new", _service_times(first)), _row("known", times))
    is_answered = all(each.is_scanned for each in (*first.outcomes, *again.outcomes))
    return Part(
        (Table("Known bytes", columns, rows, note),),
        tuple(
            at_most(
                f"known bytes are answered, {name}",
                times.percentile_ms(share) if is_answered else None,
                _MOST_MS,
                "ms",
                2,
            )
            for name, share in (("p50", 0.5), ("p99", 0.99))
        ),
    )


def _service_times(measured: Load) -> Latencies:
    return Latencies(each.elapsed_ms / 1e3 for each in measured.outcomes if each.elapsed_ms is not None)


def _row(name: str, times: Latencies) -> tuple[Cell, ...]:
    return name, times.count, times.told_percentile_ms(0.5), times.told_percentile_ms(0.99)
