"""``make bench-latency``: how long an uploader waits at 20, 50 and 80 % of capacity, by size of the picture.

*Capacity* is measured first, for each size: the pictures a second that are looked at while as many connections as
``--connections`` never rest. The loads are then open-loop shares of it, by Poisson arrivals, and at 50 % of the last
size once more with bursts of four times the mean rate (see :mod:`benchmarks.arrivals`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import load
from benchmarks.arrivals import BURST_FACTOR, BURST_S, bursty_arrivals_s, poisson_arrivals_s
from benchmarks.outcomes import latencies
from benchmarks.pictures import Pictures, Size
from benchmarks.plots import Mark, latency_distribution
from benchmarks.report import Check, Column, Section, Table, at_most
from benchmarks.run import Run
from benchmarks.saturation import find_capacity
from benchmarks.tables import HOW_TO_READ, WALL_S, Measured, in_time, load_table, validity
from benchmarks.target import OUT, Anywhere, Connections, Out, Seed, Url, require_goodput, scan_target

SHARES = (0.2, 0.5, 0.8)
_BURSTY_SHARE = 0.5

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class OfSize:
    """What was measured with pictures of one size. The last of ``measured`` is the one at the highest share."""

    size: Size
    connections: int
    capacity_per_s: float
    measured: list[Measured]
    bursty: list[Measured]


def bench(
    url: Url = None,
    size: Annotated[list[Size] | None, typer.Option(help="Of the pictures; all, if not given. Repeatable.")] = None,
    connections: Connections = None,
    capacity_s: Annotated[float, typer.Option(min=1, help="Seconds for the capacity of each size.")] = 8.0,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each load.")] = 20.0,
    p99_s: Annotated[float, typer.Option(min=0.001, help="Allowed at p99 at 80 % of capacity.")] = 1.5,
    seed: Seed = 1,
    out: Out = OUT,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if p99 at 80 % is over --p99-s, or anything failed or was late."""
    scan_url = scan_target(url, anywhere, console)
    run = Run("latency", scan_url, seed, console)
    sizes = size or list(Size)
    all_measured = [
        asyncio.run(_measure(scan_url, each, connections, capacity_s, duration_s, seed, each is sizes[-1]))
        for each in sizes
    ]
    sections = [_capacities(all_measured), *map(_section, all_measured)]
    run.finish("Latency by share of capacity", sections, _checks(all_measured, p99_s), out)


async def _measure(
    url: str, size: Size, connections: int | None, capacity_s: float, duration_s: float, seed: int, with_bursts: bool
) -> OfSize:
    with console.status(f"{size}: capacity") as status:
        make_body = Pictures(size, seed).bodies()
        saturated = await find_capacity(
            url, make_body, capacity_s, connections, lambda tried: status.update(f"{size}: {tried} connections")
        )
        capacity_per_s = saturated.pictures_per_s
        require_goodput(capacity_per_s, saturated.load.outcomes, console)
        measured, bursty = [], []
        for share in SHARES:
            status.update(f"{size}: {share:.0%} of {capacity_per_s:.1f}/s")
            arrivals = poisson_arrivals_s(share * capacity_per_s, duration_s, seed)
            measured.append(Measured(f"{size}, {share:.0%}, Poisson", await load.open_loop(url, make_body, arrivals)))
        if with_bursts:
            status.update(f"{size}: {_BURSTY_SHARE:.0%} in bursts")
            arrivals = bursty_arrivals_s(_BURSTY_SHARE * capacity_per_s, duration_s, seed)
            name = f"{size}, {_BURSTY_SHARE:.0%}, bursty"
            bursty.append(Measured(name, await load.open_loop(url, make_body, arrivals)))
    return OfSize(size, saturated.connections, capacity_per_s, measured, bursty)


def _capacities(all_measured: Sequence[OfSize]) -> Section:
    columns = (Column("pictures"), Column("connections"), Column("capacity, pictures/s", 1))
    rows = tuple((str(each.size), each.connections, each.capacity_per_s) for each in all_measured)
    note = "Pictures looked at a second while so many connections never rest."
    return Section("Capacity", note, Table(columns, rows))


def _section(of: OfSize) -> Section:
    measured = [*of.measured, *of.bursty]
    note = HOW_TO_READ
    if of.bursty:
        note += f"\nBursty: bursts of {BURST_FACTOR:.0f} times the mean rate, {BURST_S:.0f} s long on average."
    plot = latency_distribution(
        f"{of.size}: latency by the share of answers",
        {each.name: latencies(each.load.outcomes) for each in measured},
        [Mark(WALL_S * 1e3, f"the wall, {WALL_S:.0f} s")],
    )
    return Section(f"{of.size} at shares of {of.capacity_per_s:.1f} pictures/s", note, load_table(measured), (plot,))


def _checks(all_measured: Sequence[OfSize], p99_s: float) -> list[Check]:
    busiest = [each.measured[-1] for each in all_measured]
    worst_ms, name = max((latencies(each.load.outcomes).percentile_ms(0.99), each.name) for each in busiest)
    every = [measured for each in all_measured for measured in (*each.measured, *each.bursty)]
    claim = f"p99 at {SHARES[-1]:.0%} of capacity, at worst ({name})"
    return [at_most(claim, worst_ms / 1e3, p99_s, "s", 3), *in_time(every), *validity(every)]


if __name__ == "__main__":
    typer.run(bench)
