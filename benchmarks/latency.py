"""How long an uploader waits at 20, 50 and 80 % of capacity, by size of the picture.

*Capacity* is measured first, for each size: pictures scanned a second while connections never rest. The loads are then
open-loop shares of it, by Poisson arrivals, and at 50 % of the last size once more with bursts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from benchmarks import load
from benchmarks.arrivals import BURST_FACTOR, BURST_S, bursty_arrivals_s, poisson_arrivals_s
from benchmarks.bodies import Pictures, Size
from benchmarks.checks import HOW_TO_READ, Measured, in_time, latency_plot, load_table, validity
from benchmarks.command import OUT, Anywhere, Connections, Out, Run, Seed, Url, console, require_goodput, scan_target
from benchmarks.outcomes import latencies
from benchmarks.report import Column, Section, Table, at_most

SHARES = (0.2, 0.5, 0.8)
_BURSTY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class OfSize:
    """What was measured with pictures of one size: a load for each share, and where wanted one with bursts."""

    size: Size
    saturated: load.Saturation
    measured: list[Measured]


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
    scan_url = scan_target(url, anywhere)
    run = Run("latency", seed, scan_url)
    sizes = size or list(Size)
    of_sizes = [
        asyncio.run(_measure(scan_url, each, connections, capacity_s, duration_s, seed, each is sizes[-1]))
        for each in sizes
    ]
    columns = (Column("pictures"), Column("connections"), Column("capacity, pictures/s", 1))
    rows = tuple((str(of.size), of.saturated.connections, of.saturated.load.goodput_per_s) for of in of_sizes)
    note = "Pictures scanned a second while so many connections never rest."
    sections = [Section("Capacity", note, Table(columns, rows)), *map(_section, of_sizes)]
    busiest = [of.measured[len(SHARES) - 1] for of in of_sizes]
    worst_ms, name = max((latencies(each.load.outcomes).percentile_ms(0.99), each.name) for each in busiest)
    every = [measured for of in of_sizes for measured in of.measured]
    checks = [
        at_most(f"p99 at {SHARES[-1]:.0%} of capacity, at worst ({name})", worst_ms / 1e3, p99_s, "s", 3),
        *in_time(every),
        *validity(every),
    ]
    run.finish("Latency by share of capacity", sections, checks, out)


async def _measure(
    url: str, size: Size, connections: int | None, capacity_s: float, duration_s: float, seed: int, with_bursts: bool
) -> OfSize:
    with console.status(f"{size}: capacity") as status:
        make_body = Pictures(size, seed).bodies()
        saturated = await load.find_capacity(
            url, make_body, capacity_s, connections, lambda tried: status.update(f"{size}: {tried} connections")
        )
        capacity_per_s = saturated.load.goodput_per_s
        require_goodput(capacity_per_s, saturated.load.outcomes)
        loads = [(share, "Poisson", poisson_arrivals_s) for share in SHARES]
        loads += [(_BURSTY_SHARE, "bursty", bursty_arrivals_s)] if with_bursts else []
        measured = []
        for share, kind, arrivals_s in loads:
            name = f"{size}, {share:.0%}, {kind}"
            status.update(f"{name}, of {capacity_per_s:.1f}/s")
            moments_s = arrivals_s(share * capacity_per_s, duration_s, seed)
            measured.append(Measured(name, await load.open_loop(url, make_body, moments_s)))
    return OfSize(size, saturated, measured)


def _section(of: OfSize) -> Section:
    note = HOW_TO_READ
    if len(of.measured) > len(SHARES):
        note += f"\nBursty: bursts of {BURST_FACTOR:.0f} times the mean rate, {BURST_S:.0f} s long on average."
    plot = latency_plot(f"{of.size}: latency by the share of answers", of.measured)
    heading = f"{of.size} at shares of {of.saturated.load.goodput_per_s:.1f} pictures/s"
    return Section(heading, note, load_table(of.measured), (plot,))
