"""What is left of the service when two and five times as much comes as it can do.

A service that takes all of it in answers nobody in time. This one refuses what it cannot do, at once, and goes on at
its full rate. *Goodput* is the pictures a second that were scanned, in time, while the overload lasted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import psutil
import typer

from benchmarks import load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.bodies import Pictures, Size
from benchmarks.checks import Measured, load_table, validity
from benchmarks.command import Anywhere, Connections, Out, Run, Seed, Url, console, measured_capacity, scan_target
from benchmarks.outcomes import LATE_S, Latencies, goodput_per_s, late, latencies
from benchmarks.processes import with_memory
from benchmarks.record import Cell, Check, Column, Table, at_least, at_most

LEAST_GOODPUT_SHARE = 0.9
MAX_REFUSAL_S = 1.0

# With fewer arrivals than this share of what was asked for, the overload was another one.
_LEAST_OFFERED_SHARE = 0.95

_COLUMNS = (
    Column("load"),
    Column("goodput ÷ capacity", 2),
    Column("refusals"),
    Column("refusal p50 ms", 1),
    Column("refusal p99 ms", 1),
    Column("memory before (PSS), GB", 2),
    Column("peak, GB", 2),
)


@dataclass(frozen=True, slots=True)
class Overload:
    """One overload, and the service's memory before, meanwhile and after (none where it cannot be seen)."""

    factor: float
    capacity_per_s: float
    measured: Measured
    memory_gb: list[float]

    @property
    def goodput_share(self) -> float:
        """Goodput over capacity."""
        of = self.measured.load
        return goodput_per_s(of.outcomes, 0.0, of.window_s) / self.capacity_per_s

    @property
    def refusals(self) -> Latencies:
        """How long a refusal took."""
        return latencies(each for each in self.measured.load.outcomes if each.is_refused)


def bench(
    url: Url = None,
    size: Annotated[Size, typer.Option(help="Of the pictures.")] = Size.KB_200,
    factor: Annotated[list[float] | None, typer.Option(help="Times capacity; 2 and 5. Repeatable.")] = None,
    connections: Connections = None,
    capacity_s: Annotated[float, typer.Option(min=1, help="Seconds for the capacity.")] = 15.0,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each overload.")] = 60.0,
    memory_growth_gb: Annotated[float, typer.Option(min=0, help="Allowed over what is held before.")] = 1.0,
    seed: Seed = 1,
    out: Out = None,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if an answer was late, goodput fell, refusals waited or memory grew."""
    scan_url = scan_target(url, anywhere)
    run = Run("overload", seed, out, scan_url)
    overloads = asyncio.run(
        _measure(scan_url, size, factor or [2.0, 5.0], connections, capacity_s, duration_s, seed, run.root)
    )
    measured = [each.measured for each in overloads]
    note = f"Capacity: {overloads[0].capacity_per_s:.1f} pictures/s of {size}."
    tables = [load_table("Loads", measured, note), Table("The service", _COLUMNS, tuple(map(_row, overloads)))]
    checks = [check for each in overloads for check in _checks(each, memory_growth_gb)]
    run.finish("Overload", tables, [*checks, *validity(measured)])


async def _measure(
    url: str,
    size: Size,
    factors: Sequence[float],
    connections: int | None,
    capacity_s: float,
    duration_s: float,
    seed: int,
    root: psutil.Process | None,
) -> list[Overload]:
    make_body = Pictures(size, seed).bodies()
    capacity_per_s, _ = await measured_capacity(url, make_body, capacity_s, connections)
    overloads = []
    for factor in factors:
        name = f"{factor:g} x capacity"
        with console.status(f"{name}, {factor * capacity_per_s:.0f} pictures/s"):
            arrivals_s = poisson_arrivals_s(factor * capacity_per_s, duration_s, seed)
            of, sizes_bytes = await with_memory(root, load.open_loop(url, make_body, arrivals_s))
        memory_gb = [size_bytes / 1e9 for size_bytes in sizes_bytes]
        overloads.append(Overload(factor, capacity_per_s, Measured(name, of), memory_gb))
    return overloads


def _row(overload: Overload) -> tuple[Cell, ...]:
    told = (overload.refusals.told_percentile_ms(share) for share in (0.5, 0.99))
    memory = (overload.memory_gb[0], max(overload.memory_gb)) if overload.memory_gb else (None, None)
    return overload.measured.name, overload.goodput_share, overload.refusals.count, *told, *memory


def _checks(overload: Overload, memory_growth_gb: float) -> list[Check]:
    name, outcomes = overload.measured.name, overload.measured.load.outcomes
    refusal_s = overload.refusals.percentile_ms(0.99) / 1e3 if overload.refusals.count else None
    unexplained = sum(each.is_failed and not each.is_refused for each in outcomes)
    offered_share = overload.measured.load.offered_per_s / (overload.factor * overload.capacity_per_s)
    growth_gb = max(overload.memory_gb) - overload.memory_gb[0] if overload.memory_gb else None
    return [
        at_most(f"{name}: answers later than {LATE_S} s", len(late(outcomes)), 0),
        at_least(f"{name}: goodput ÷ capacity", overload.goodput_share, LEAST_GOODPUT_SHARE, digits=2),
        at_most(f"{name}: a refusal takes, at p99", refusal_s, MAX_REFUSAL_S, "s", 3),
        at_most(f"{name}: failed without a reason", unexplained, 0),
        at_most(f"{name}: memory grew by", growth_gb, memory_growth_gb, "GB", 2),
        at_least(f"{name}: offered ÷ wanted load", offered_share, _LEAST_OFFERED_SHARE, digits=2),
    ]
