"""What is left of the service when two and five times as much comes as it can do.

A service that takes all of it in answers nobody in time. This one refuses what it cannot do, at once, and goes on at
its full rate. *Goodput* is the pictures a second that were scanned, in time, while the overload lasted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from benchmarks import load
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import load_table, validity
from benchmarks.command import Anywhere, Connections, Out, Run, Seed, Url, console, measured_capacity, scan_target
from benchmarks.load import Target
from benchmarks.outcomes import LATE_S, Load, goodput_per_s, latencies_s, percentile_ms, told_percentiles_ms
from benchmarks.processes import Peak, tree
from benchmarks.record import Cell, Check, at_least, at_most, table

LEAST_GOODPUT_SHARE = 0.9
MAX_REFUSAL_S = 1.0
MAX_GROWTH_GB = 1.0

_SIZE = Size.KB_200
_FACTORS = [2.0, 5.0]
_REFUSALS = {"refusals": 0, "refusal p50 ms": 1, "refusal p99 ms": 1}
_COLUMNS = {"load": 0, "goodput ÷ capacity": 2, **_REFUSALS, "memory grew by at most, GB": 2}


@dataclass(frozen=True, slots=True)
class Overload:
    """One overload, and by how much the service's processes grew at their peaks (None where they cannot be seen)."""

    load: Load
    capacity_per_s: float
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
    scan_url = scan_target(url, anywhere)
    run = Run("overload", seed, out, scan_url)
    target = Target(scan_url, pictures_of(_SIZE, seed))
    capacity_per_s = measured_capacity(target, capacity_s, connections).goodput_per_s
    overloads = []
    for each in factor:
        name = f"{each:g} x capacity"
        with console.status(f"{name}, {each * capacity_per_s:.0f} pictures/s"):
            peak = Peak(tree(run.root)) if run.root else None
            of = load.open_loop(target, load.poisson_arrivals_s(each * capacity_per_s, duration_s, seed), name)
            overloads.append(Overload(of, capacity_per_s, peak.grown_gb() if peak else None))
    loads = [each.load for each in overloads]
    note = f"Capacity: {capacity_per_s:.1f} pictures/s of {_SIZE}."
    tables = [load_table("Loads", loads, note), table("The service", _COLUMNS, map(_row, overloads))]
    checks = [check for each in overloads for check in _checks(each)]
    run.finish("Overload", tables, [*checks, *validity(loads)])


def _row(overload: Overload) -> tuple[Cell, ...]:
    refusals_ms = told_percentiles_ms(overload.refusals_s, 0.5, 0.99)
    return overload.load.name, overload.goodput_share, overload.load.refused, *refusals_ms, overload.growth_gb


def _checks(overload: Overload) -> list[Check]:
    of, name = overload.load, overload.load.name
    refusal_ms = percentile_ms(overload.refusals_s, 0.99)
    return [
        at_most(f"{name}: answers later than {LATE_S} s", of.late, 0),
        at_least(f"{name}: goodput ÷ capacity", overload.goodput_share, LEAST_GOODPUT_SHARE, digits=2),
        at_most(f"{name}: a refusal takes, at p99", refusal_ms and refusal_ms / 1e3, MAX_REFUSAL_S, "s", 3),
        at_most(f"{name}: failed without a reason", of.failed - of.refused, 0),
        at_most(f"{name}: memory grew by", overload.growth_gb, MAX_GROWTH_GB, "GB", 2),
    ]
