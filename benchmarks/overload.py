"""What is left of the service when two and five times as much comes as it can do.

A service that takes all of it in answers nobody in time. This one refuses what it cannot do, at once, and goes on at
its full rate. *Goodput* is the pictures a second that were scanned, in time, while the overload lasted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from benchmarks import load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.bodies import Pictures, Size
from benchmarks.checks import load_table, validity
from benchmarks.command import Anywhere, Connections, Out, Run, Seed, Url, console, measured_capacity, scan_target
from benchmarks.outcomes import LATE_S, Load, goodput_per_s, late, latencies_s, percentile_ms, told_percentile_ms
from benchmarks.processes import Peak, tree
from benchmarks.record import Cell, Check, Column, Table, at_least, at_most

LEAST_GOODPUT_SHARE = 0.9
MAX_REFUSAL_S = 1.0
MAX_GROWTH_GB = 1.0

# With fewer arrivals than this share of what was asked for, the overload was another one.
_LEAST_OFFERED_SHARE = 0.95

_SIZE = Size.KB_200
_FACTORS = [2.0, 5.0]
_COLUMNS = (
    Column("load"),
    Column("goodput ÷ capacity", 2),
    Column("refusals"),
    Column("refusal p50 ms", 1),
    Column("refusal p99 ms", 1),
    Column("memory grew by at most, GB", 2),
)


@dataclass(frozen=True, slots=True)
class Overload:
    """One overload, and by how much the service's processes grew at their peaks (None where they cannot be seen)."""

    factor: float
    capacity_per_s: float
    load: Load
    growth_gb: float | None

    @property
    def goodput_share(self) -> float:
        """Goodput over capacity."""
        return goodput_per_s(self.load.outcomes, 0.0, self.load.window_s) / self.capacity_per_s

    @property
    def refusals_s(self) -> list[float]:
        """How long each refusal took."""
        return latencies_s(each for each in self.load.outcomes if each.is_refused)


def bench(
    url: Url = None,
    factor: Annotated[list[float], typer.Option(help="Times capacity; repeatable.")] = _FACTORS,
    connections: Connections = None,
    capacity_s: Annotated[float, typer.Option(min=1, help="Seconds for the capacity.")] = 15.0,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each overload.")] = 60.0,
    seed: Seed = 1,
    out: Out = None,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if an answer was late, goodput fell, refusals waited or memory grew."""
    target = scan_target(url, anywhere)
    run = Run("overload", seed, out, target)
    make_body = Pictures(_SIZE, seed).bodies()
    capacity_per_s = measured_capacity(target, make_body, capacity_s, connections).goodput_per_s
    overloads = []
    for each in factor:
        name = f"{each:g} x capacity"
        with console.status(f"{name}, {each * capacity_per_s:.0f} pictures/s"):
            peak = Peak(tree(run.root)) if run.root else None
            arrivals_s = poisson_arrivals_s(each * capacity_per_s, duration_s, seed)
            of = load.open_loop(target, make_body, arrivals_s, name)
            overloads.append(Overload(each, capacity_per_s, of, peak.grown_gb() if peak else None))
    loads = [each.load for each in overloads]
    note = f"Capacity: {capacity_per_s:.1f} pictures/s of {_SIZE}."
    tables = [load_table("Loads", loads, note), Table("The service", _COLUMNS, tuple(map(_row, overloads)))]
    checks = [check for each in overloads for check in _checks(each)]
    run.finish("Overload", tables, [*checks, *validity(loads)])


def _row(overload: Overload) -> tuple[Cell, ...]:
    told = (told_percentile_ms(overload.refusals_s, share) for share in (0.5, 0.99))
    return overload.load.name, overload.goodput_share, len(overload.refusals_s), *told, overload.growth_gb


def _checks(overload: Overload) -> list[Check]:
    name, outcomes = overload.load.name, overload.load.outcomes
    refusal_ms = percentile_ms(overload.refusals_s, 0.99)
    unexplained = sum(each.is_failed and not each.is_refused for each in outcomes)
    offered_share = overload.load.offered_per_s / (overload.factor * overload.capacity_per_s)
    return [
        at_most(f"{name}: answers later than {LATE_S} s", len(late(outcomes)), 0),
        at_least(f"{name}: goodput ÷ capacity", overload.goodput_share, LEAST_GOODPUT_SHARE, digits=2),
        at_most(f"{name}: a refusal takes, at p99", refusal_ms and refusal_ms / 1e3, MAX_REFUSAL_S, "s", 3),
        at_most(f"{name}: failed without a reason", unexplained, 0),
        at_most(f"{name}: memory grew by", overload.growth_gb, MAX_GROWTH_GB, "GB", 2),
        at_least(f"{name}: offered ÷ wanted load", offered_share, _LEAST_OFFERED_SHARE, digits=2),
    ]
