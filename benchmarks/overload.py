"""What is left of the service when two and five times as much comes as it can do.

A service that takes all of it in answers nobody in time. This one refuses what it cannot do, at once, and goes on at
its full rate. *Goodput* is the pictures a second that were scanned, in time, while the overload lasted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from benchmarks import load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.bodies import Pictures, Size
from benchmarks.checks import HOW_TO_READ, Measured, load_table, validity
from benchmarks.command import OUT, Anywhere, Connections, Out, Run, Seed, Url, console, require_goodput, scan_target
from benchmarks.outcomes import LATE_S, Latencies, goodput_per_s, late, latencies, rate_per_second, statuses
from benchmarks.processes import MemorySampler
from benchmarks.report import Check, Column, Plot, Section, Table, at_least, at_most

LEAST_GOODPUT_SHARE = 0.9
MAX_REFUSAL_S = 1.0

# With fewer arrivals than this share of what was asked for, the overload was another one.
_LEAST_OFFERED_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Overload:
    """One overload, and the service's memory meanwhile (seconds since the load began, GB)."""

    factor: float
    capacity_per_s: float
    measured: Measured
    memory_gb: list[tuple[float, float]]

    @property
    def goodput_share(self) -> float:
        """Goodput over capacity."""
        of = self.measured.load
        return goodput_per_s(of.outcomes, 0.0, of.window_s) / self.capacity_per_s

    @property
    def refusals(self) -> Latencies:
        """How long a refusal took."""
        return latencies(each for each in self.measured.load.outcomes if each.is_refused)

    @property
    def growth_gb(self) -> float | None:
        """Peak over what was held before; None where the service's processes cannot be seen."""
        return max(size for _, size in self.memory_gb) - self.memory_gb[0][1] if self.memory_gb else None


def bench(
    url: Url = None,
    size: Annotated[Size, typer.Option(help="Of the pictures.")] = Size.KB_200,
    factor: Annotated[list[float] | None, typer.Option(help="Times capacity; 2 and 5. Repeatable.")] = None,
    connections: Connections = None,
    capacity_s: Annotated[float, typer.Option(min=1, help="Seconds for the capacity.")] = 15.0,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each overload.")] = 60.0,
    memory_growth_gb: Annotated[float, typer.Option(min=0, help="Allowed over what is held before.")] = 1.0,
    seed: Seed = 1,
    out: Out = OUT,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if an answer was late, goodput fell, refusals waited or memory grew."""
    scan_url = scan_target(url, anywhere)
    run = Run("overload", seed, scan_url)
    measuring = _measure(scan_url, size, factor or [2.0, 5.0], connections, capacity_s, duration_s, seed)
    used, overloads = asyncio.run(measuring)
    capacity = f"Capacity, measured with {used} connections: {overloads[0].capacity_per_s:.1f} pictures/s."
    measured = [each.measured for each in overloads]
    sections = [
        Section("Loads", f"{capacity}\n{HOW_TO_READ}", load_table(measured)),
        _outcome(overloads),
        *(Section(each.measured.name, statuses(each.measured.load.outcomes), plots=_plots(each)) for each in overloads),
    ]
    checks = [check for each in overloads for check in _checks(each, memory_growth_gb)]
    run.finish("Overload", sections, [*checks, *validity(measured)], out)


async def _measure(
    url: str,
    size: Size,
    factors: Sequence[float],
    connections: int | None,
    capacity_s: float,
    duration_s: float,
    seed: int,
) -> tuple[int, list[Overload]]:
    """The connections that capacity was measured with, and an overload for each of ``factors``."""
    with console.status("capacity") as status:
        make_body = Pictures(size, seed).bodies()
        saturated = await load.find_capacity(
            url, make_body, capacity_s, connections, lambda tried: status.update(f"capacity: {tried} connections")
        )
        capacity_per_s = saturated.load.goodput_per_s
        require_goodput(capacity_per_s, saturated.load.outcomes)
        overloads = []
        for factor in factors:
            name = f"{factor:g} x capacity"
            status.update(f"{name}, {factor * capacity_per_s:.0f} pictures/s")
            arrivals_s = poisson_arrivals_s(factor * capacity_per_s, duration_s, seed)
            async with MemorySampler(url) as sampler:
                measured = Measured(name, await load.open_loop(url, make_body, arrivals_s))
            began_s = measured.load.started_s
            memory_gb = [(max(0.0, at_s - began_s), size_bytes / 1e9) for at_s, size_bytes in sampler.samples]
            overloads.append(Overload(factor, capacity_per_s, measured, memory_gb))
    return saturated.connections, overloads


def _outcome(overloads: Sequence[Overload]) -> Section:
    columns = (
        Column("load"),
        Column("goodput ÷ capacity", 2),
        Column("refusals"),
        Column("refusal p50 ms", 1),
        Column("refusal p99 ms", 1),
        Column("service's clock p99 ms", 1),
        Column("generator cores", 2),
        Column("memory before, GB", 2),
        Column("peak, GB", 2),
    )
    rows = []
    for each in overloads:
        own_clock = Latencies(of.service_s for of in each.measured.load.outcomes if of.service_s is not None)
        sizes_gb = [size_gb for _, size_gb in each.memory_gb]
        rows.append(
            (
                each.measured.name,
                each.goodput_share,
                each.refusals.count,
                *(each.refusals.told_percentile_ms(share) for share in (0.5, 0.99)),
                own_clock.told_percentile_ms(0.99),
                each.measured.load.client_cores,
                *((sizes_gb[0], max(sizes_gb)) if sizes_gb else (None, None)),
            )
        )
    note = (
        "Goodput counts pictures that were scanned and answered while the load lasted. The service's clock starts when "
        "it sees the first byte of a request: the rest of a latency was spent in front of the service. Memory is that "
        "of all processes of the service (PSS: shared pages count once)."
    )
    return Section("What the service did", note, Table(columns, tuple(rows)))


def _plots(overload: Overload) -> tuple[Plot, ...]:
    outcomes = overload.measured.load.outcomes
    name = overload.measured.name
    scanned = [each for each in outcomes if each.is_scanned]
    rates = {
        "scanned": rate_per_second(outcomes, lambda each: each.is_scanned),
        "refused": rate_per_second(outcomes, lambda each: each.is_refused),
    }
    marks = {"capacity": overload.capacity_per_s}, {"the load ends": overload.measured.load.window_s}
    return (
        Plot.timeline(f"{name}: answers by second", "answers a second", rates, *marks),
        Plot.of_latencies(f"{name}: latency", {"scanned": latencies(scanned), "refused": overload.refusals}),
    )


def _checks(overload: Overload, memory_growth_gb: float) -> list[Check]:
    name, outcomes = overload.measured.name, overload.measured.load.outcomes
    refusals = overload.refusals
    refusal_s = refusals.percentile_ms(0.99) / 1e3 if refusals.count else None
    unexplained = sum(each.is_failed and not each.is_refused for each in outcomes)
    offered_share = overload.measured.load.offered_per_s / (overload.factor * overload.capacity_per_s)
    return [
        at_most(f"{name}: answers later than {LATE_S} s", len(late(outcomes)), 0),
        at_least(f"{name}: goodput ÷ capacity", overload.goodput_share, LEAST_GOODPUT_SHARE, digits=2),
        at_most(f"{name}: a refusal takes, at p99", refusal_s, MAX_REFUSAL_S, "s", 3),
        at_most(f"{name}: failed without a reason", unexplained, 0),
        at_most(f"{name}: memory grew by", overload.growth_gb, memory_growth_gb, "GB", 2),
        at_least(f"{name}: offered ÷ wanted load", offered_share, _LEAST_OFFERED_SHARE, digits=2),
    ]
