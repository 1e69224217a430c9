"""Loads as rows, and what a load must be to count: the same columns and the same rules in every record."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.outcomes import LATE_S, Load, doubled, late, latencies_s, percentile_ms, told_percentile_ms
from benchmarks.record import Check, Column, Table, at_most

WALL_S = 10.0
"""Lemmy gives up on a federated thumbnail after this many seconds, download included."""

MAX_LAG_MS = 50.0
"""A generator whose 99th percentile lags more than this has not made the load that it was asked for."""

MAX_CLIENT_CORES = 0.8
"""The generator has one thread: near a whole core it, and not the service, is measured."""

_SHARES = {"p50 ms": 0.5, "p95 ms": 0.95, "p99 ms": 0.99, "max ms": 1.0}
_COLUMNS = (
    Column("load"),
    Column("sent/s", 1),
    Column("scanned/s", 1),
    *(Column(heading, 1) for heading in _SHARES),
    *map(Column, ("refused", "failed", "late")),
)


def load_table(heading: str, loads: Sequence[Load], note: str = "") -> Table:
    """One row for each load."""
    rows = []
    for load in loads:
        times_s = latencies_s(load.outcomes)
        refused = sum(each.is_refused for each in load.outcomes)
        rows.append(
            (
                *(load.name, load.offered_per_s, load.goodput_per_s),
                *(told_percentile_ms(times_s, share) for share in _SHARES.values()),
                *(refused, load.failed - refused, len(late(load.outcomes))),
            )
        )
    return Table(heading, _COLUMNS, tuple(rows), note)


def validity(loads: Sequence[Load]) -> list[Check]:
    """Whether the generator kept up with every load; the worst one is told."""
    lags_ms = [percentile_ms((each.lag_s for each in load.outcomes), 0.99) or 0.0 for load in loads]
    lag_ms, name = max(zip(lags_ms, [load.name for load in loads], strict=True))
    cores, busiest = max((load.client_cores, load.name) for load in loads)
    return [
        at_most(f"the generator kept up: its lag at p99, at worst ({name})", lag_ms, MAX_LAG_MS, "ms", 1),
        at_most(f"the generator was not the bottleneck, at worst ({busiest})", cores, MAX_CLIENT_CORES, "cores", 2),
    ]


def in_time(loads: Sequence[Load]) -> list[Check]:
    """Whether everything was answered, in time, and once."""
    outcomes = [outcome for load in loads for outcome in load.outcomes]
    slowest_s = max(each.latency_s for each in outcomes)
    return [
        at_most(f"the slowest answer is under the {WALL_S:.0f} s wall", slowest_s, WALL_S, "s", 2),
        at_most(f"answers later than {LATE_S} s", len(late(outcomes)), 0),
        at_most("requests that failed", sum(load.failed for load in loads), 0),
        at_most("answers given twice", sum(len(doubled(load.outcomes)) for load in loads), 0),
    ]
