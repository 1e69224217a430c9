"""Loads as rows, and what a load must be to count: the same columns and the same rules in every record."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.outcomes import LATE_S, Load, latencies_s, percentile_ms, told_percentiles_ms
from benchmarks.record import Check, Table, at_most, table

WALL_S = 10.0
"""Lemmy gives up on a federated thumbnail after this many seconds, download included."""

MAX_LAG_MS = 50.0
"""A generator whose 99th percentile lags more than this has not made the load that it was asked for."""

MAX_CLIENT_CORES = 0.8
"""The generator has one thread: near a whole core it, and not the service, is measured."""

_SHARES = {"p50 ms": 0.5, "p95 ms": 0.95, "p99 ms": 0.99, "max ms": 1.0}
_COLUMNS = {"load": 0, "sent/s": 1, "scanned/s": 1, **dict.fromkeys(_SHARES, 1), "refused": 0, "failed": 0, "late": 0}


def load_table(heading: str, loads: Sequence[Load], note: str = "") -> Table:
    """One row for each load."""
    rows = (
        (
            *(load.name, load.offered_per_s, load.goodput_per_s),
            *told_percentiles_ms(latencies_s(load.outcomes), *_SHARES.values()),
            *(load.refused, load.failed - load.refused, load.late),
        )
        for load in loads
    )
    return table(heading, _COLUMNS, rows, note)


def validity(loads: Sequence[Load]) -> list[Check]:
    """Whether the generator kept up with every load; the worst one is told."""
    lag_ms, name = max((percentile_ms((each.lag_s for each in of.outcomes), 0.99) or 0.0, of.name) for of in loads)
    cores, busiest = max((of.client_cores, of.name) for of in loads)
    return [
        at_most(f"the generator kept up: its lag at p99, at worst ({name})", lag_ms, MAX_LAG_MS, "ms", 1),
        at_most(f"the generator was not the bottleneck, at worst ({busiest})", cores, MAX_CLIENT_CORES, "cores", 2),
    ]


def in_time(loads: Sequence[Load]) -> list[Check]:
    """Whether everything was answered, in time, and once."""
    slowest_s = max(each.latency_s for load in loads for each in load.outcomes)
    return [
        at_most(f"the slowest answer is under the {WALL_S:.0f} s wall", slowest_s, WALL_S, "s", 2),
        at_most(f"answers later than {LATE_S} s", sum(load.late for load in loads), 0),
        at_most("requests that failed", sum(load.failed for load in loads), 0),
        at_most("answers given twice", sum(load.doubled for load in loads), 0),
    ]
