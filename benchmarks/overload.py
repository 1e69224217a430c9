"""``make bench-overload``: what is left of the service when two and five times as much comes as it can do.

A service that takes all of it in answers nobody in time. This one refuses what it cannot do, at once, and goes on at
its full rate. *Goodput* is the pictures a second that were looked at, in time, while the overload lasted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.memory import MemorySampler
from benchmarks.outcomes import goodput_per_s, late, latencies, rate_per_second, slowest_ms, statuses
from benchmarks.pictures import Pictures, Size
from benchmarks.plots import Axis, Mark, Plot, Scale, latency_distribution, timeline
from benchmarks.report import Cell, Check, Column, Section, Table, at_least, at_most
from benchmarks.run import Run
from benchmarks.saturation import find_capacity
from benchmarks.statistics import Latencies
from benchmarks.tables import HOW_TO_READ, LATE_S, WALL_S, Measured, load_table, validity
from benchmarks.target import OUT, Anywhere, Connections, Out, Seed, Url, require_goodput, scan_target

LEAST_GOODPUT_SHARE = 0.9
MAX_REFUSAL_S = 1.0

# The load asked for is the load made: with fewer arrivals than this share of it, the overload was another one.
_LEAST_OFFERED_SHARE = 0.95

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Overload:
    """One overload, and the service's memory meanwhile (seconds since the load began, bytes)."""

    factor: float
    capacity_per_s: float
    measured: Measured
    memory: list[tuple[float, int]]

    @property
    def goodput_share(self) -> float:
        """Goodput over capacity."""
        of = self.measured.load
        return goodput_per_s(of.outcomes, 0.0, of.window_s, LATE_S) / self.capacity_per_s

    @property
    def refusals(self) -> Latencies:
        """How long a refusal took."""
        return Latencies(each.latency_s for each in self.measured.load.outcomes if each.is_refused)

    @property
    def by_own_clock(self) -> Latencies:
        """How long the service says that its answers took."""
        outcomes = self.measured.load.outcomes
        return Latencies(each.service_s for each in outcomes if each.service_s is not None)

    @property
    def memory_growth_bytes(self) -> int | None:
        """Peak over what was held before; None where the service's processes cannot be seen."""
        return max(size_bytes for _, size_bytes in self.memory) - self.memory[0][1] if self.memory else None


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
    scan_url = scan_target(url, anywhere, console)
    run = Run("overload", scan_url, seed, console)
    factors = factor or [2.0, 5.0]
    measuring = _measure(scan_url, size, factors, connections, capacity_s, duration_s, seed)
    used_connections, overloads = asyncio.run(measuring)
    capacity = f"Capacity, measured with {used_connections} connections: {overloads[0].capacity_per_s:.1f} pictures/s."
    sections = [
        Section("Loads", f"{capacity}\n{HOW_TO_READ}", load_table([each.measured for each in overloads])),
        _bearing(overloads),
        _memory(overloads),
        *(Section(each.measured.name, statuses(each.measured.load.outcomes), plots=_plots(each)) for each in overloads),
    ]
    checks = [check for each in overloads for check in _checks(each, memory_growth_gb)]
    checks += validity([each.measured for each in overloads])
    run.finish("Overload", sections, checks, out)


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
        saturated = await find_capacity(
            url, make_body, capacity_s, connections, lambda tried: status.update(f"capacity: {tried} connections")
        )
        capacity_per_s = saturated.pictures_per_s
        require_goodput(capacity_per_s, saturated.load.outcomes, console)
        overloads = []
        for factor in factors:
            name = f"{factor:g} x capacity"
            status.update(f"{name}, {factor * capacity_per_s:.0f} pictures/s")
            arrivals = poisson_arrivals_s(factor * capacity_per_s, duration_s, seed)
            async with MemorySampler(url) as sampler:
                measured = Measured(name, await load.open_loop(url, make_body, arrivals))
            started_s = measured.load.started_s
            memory = [(max(0.0, moment_s - started_s), size_bytes) for moment_s, size_bytes in sampler.samples]
            overloads.append(Overload(factor, capacity_per_s, measured, memory))
    return saturated.connections, overloads


def _bearing(overloads: Sequence[Overload]) -> Section:
    columns = (
        Column("load"),
        Column("goodput ÷ capacity", 2),
        Column("refusals"),
        Column("refusal p50 ms", 1),
        Column("refusal p99 ms", 1),
        Column("service's clock p99 ms", 1),
        Column("generator cores", 2),
    )
    rows = tuple(
        (
            each.measured.name,
            each.goodput_share,
            each.refusals.count,
            each.refusals.told_percentile_ms(0.5),
            each.refusals.told_percentile_ms(0.99),
            each.by_own_clock.told_percentile_ms(0.99),
            each.measured.load.client_cores,
        )
        for each in overloads
    )
    note = (
        "Goodput counts what was looked at and answered while the load lasted. The service's clock starts when it sees "
        "the first byte of a request: what a latency has more than that was spent in front of the service."
    )
    return Section("How it was borne", note, Table(columns, rows))


def _memory(overloads: Sequence[Overload]) -> Section:
    columns = (Column("load"), Column("before, GB", 2), Column("peak, GB", 2), Column("after, GB", 2))
    rows: list[tuple[Cell, ...]] = []
    for each in overloads:
        sizes_gb = [size_bytes / 1e9 for _, size_bytes in each.memory]
        told = (sizes_gb[0], max(sizes_gb), sizes_gb[-1]) if sizes_gb else (None, None, None)
        rows.append((each.measured.name, *told))
    note = "Of all processes of the service. Proportional set size: pages that processes share count once."
    lines_gb = {each.measured.name: [(moment_s, size / 1e9) for moment_s, size in each.memory] for each in overloads}
    plot = timeline("Memory of the service", Axis("GB"), lines_gb)
    return Section("Memory", note, Table(columns, tuple(rows)), (plot,) if any(lines_gb.values()) else ())


def _plots(overload: Overload) -> tuple[Plot, ...]:
    outcomes = overload.measured.load.outcomes
    looked_at = [each for each in outcomes if each.is_looked_at]
    refused = [each for each in outcomes if each.is_refused]
    rates = {
        "looked at": rate_per_second(outcomes, lambda each: each.is_looked_at),
        "refused": rate_per_second(outcomes, lambda each: each.is_refused),
    }
    ends = [Mark(overload.measured.load.window_s, "the load ends")]
    capacity = [Mark(overload.capacity_per_s, "capacity")]
    slowest = {"looked at": slowest_ms(looked_at), "refused": slowest_ms(refused)}
    limit = [Mark(LATE_S * 1e3, f"{LATE_S} s")]
    wall = [Mark(WALL_S * 1e3, f"the wall, {WALL_S:.0f} s")]
    return (
        timeline("Answers by second", Axis("answers a second"), rates, ends, capacity),
        timeline("The slowest answer to what was sent in each second", Axis("ms", Scale.LOG), slowest, ends, limit),
        latency_distribution(
            "Latency by the share of answers",
            {"looked at": latencies(looked_at), "refused": latencies(refused)},
            wall,
        ),
    )


def _checks(overload: Overload, memory_growth_gb: float) -> list[Check]:
    name, outcomes = overload.measured.name, overload.measured.load.outcomes
    refusals, growth_bytes = overload.refusals, overload.memory_growth_bytes
    refusal_s = refusals.percentile_ms(0.99) / 1e3 if refusals.count else None
    unexplained = sum(each.is_failed and not each.is_refused for each in outcomes)
    offered_share = overload.measured.load.offered_per_s / (overload.factor * overload.capacity_per_s)
    return [
        at_most(f"{name}: answers later than {LATE_S} s", len(late(outcomes, LATE_S)), 0, ""),
        at_least(f"{name}: goodput ÷ capacity", overload.goodput_share, LEAST_GOODPUT_SHARE, "", 2),
        at_most(f"{name}: a refusal takes, at p99", refusal_s, MAX_REFUSAL_S, "s", 3),
        at_most(f"{name}: failed without a reason", unexplained, 0, ""),
        at_most(
            f"{name}: memory grew by",
            None if growth_bytes is None else growth_bytes / 1e9,
            memory_growth_gb,
            "GB",
            2,
        ),
        at_least(f"{name}: offered ÷ wanted load", offered_share, _LEAST_OFFERED_SHARE, "", 2),
    ]


if __name__ == "__main__":
    typer.run(bench)
