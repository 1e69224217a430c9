"""How long an uploader waits at shares of capacity, by size of the picture, and up to which load the service keeps up.

Capacity is measured first, for each size; the loads are then open-loop shares of it, by Poisson arrivals. The *knee* is
the highest of them up to which at least 99 % of the pictures were scanned within ``--within-s``.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Annotated

import typer

from benchmarks import load
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import in_time, load_table, validity
from benchmarks.command import Anywhere, Connections, Out, Run, Seed, Url, console, measured_capacity, scan_target
from benchmarks.load import Target
from benchmarks.outcomes import Load, latencies_s, percentile_ms
from benchmarks.record import Table, at_most

SHARES = (0.2, 0.5, 0.8, 0.9, 1.0, 1.1)
KEPT_UP_SHARE = 0.99

_CHECKED_SHARE = 0.8


def bench(
    url: Url = None,
    size: Annotated[list[Size] | None, typer.Option(help="Of the pictures; all, if not given. Repeatable.")] = None,
    connections: Connections = None,
    capacity_s: Annotated[float, typer.Option(min=1, help="Seconds for the capacity of each size.")] = 8.0,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each load.")] = 20.0,
    p99_s: Annotated[float, typer.Option(min=0.001, help="Allowed at p99 at 80 % of capacity.")] = 1.5,
    within_s: Annotated[float, typer.Option(min=0.01, help="The wanted time of the knee.")] = 1.0,
    seed: Seed = 1,
    out: Out = None,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if p99 at 80 % is over --p99-s, or anything up to there failed or was late."""
    scan_url = scan_target(url, anywhere)
    run = Run("latency", seed, out, scan_url)
    tables: list[Table] = []
    kept_up: list[Load] = []
    busiest: list[Load] = []
    for each in size or list(Size):
        target = Target(scan_url, pictures_of(each, seed))
        capacity_per_s = measured_capacity(target, capacity_s, connections).goodput_per_s
        loads = []
        for share in SHARES:
            name = f"{each}, {share:.0%}"
            with console.status(f"{name}, of {capacity_per_s:.1f}/s"):
                arrivals_s = load.poisson_arrivals_s(share * capacity_per_s, duration_s, seed)
                loads.append(load.open_loop(target, arrivals_s, name))
        kept = knee([share_in_time(step, within_s) for step in loads])
        found = "below the first step" if kept is None else f"{loads[kept].offered_per_s:.1f} pictures/s"
        heading = f"{each} at shares of {capacity_per_s:.1f} pictures/s"
        tables.append(load_table(heading, loads, f"Knee ({within_s:g} s): {found}."))
        calm = [step for step, share in zip(loads, SHARES, strict=True) if share <= _CHECKED_SHARE]
        busiest.append(calm[-1])
        kept_up += calm
    worst_ms, name = max((percentile_ms(latencies_s(each.outcomes), 0.99) or inf, each.name) for each in busiest)
    checks = [at_most(f"p99, at worst ({name})", worst_ms / 1e3, p99_s, "s", 3), *in_time(kept_up), *validity(kept_up)]
    run.finish("Latency by share of capacity", tables, checks)


def knee(shares_in_time: Sequence[float]) -> int | None:
    """The place of the highest load that the service kept up with, of steps in ascending order of load.

    A load above one that it did not keep up with does not count: luck is not capacity.
    """
    kept_up = next((place for place, share in enumerate(shares_in_time) if share < KEPT_UP_SHARE), len(shares_in_time))
    return kept_up - 1 if kept_up else None


def share_in_time(of: Load, within_s: float) -> float:
    """Of the pictures sent, the share that was scanned within ``within_s``."""
    return sum(each.is_scanned and each.latency_s <= within_s for each in of.outcomes) / len(of.outcomes)
