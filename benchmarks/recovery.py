"""What a load says about a fault in the middle of it: before, during and after, as arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.outcomes import (
    LATE_S,
    Load,
    Outcome,
    doubled,
    goodput_per_s,
    late,
    latencies,
    rate_per_second,
    statuses,
)
from benchmarks.report import Cell, Check, Column, Plot, Section, Table, at_least, at_most

LEAST_RATE_SHARE = 0.9
"""Of what was sent after the recovery, so much is scanned within the same time: arrivals are random."""

RECOVERY_NOTE = (
    "Before, during and after are parted by the fault and by the moment at which as many replicas run as before; the "
    "p99 of fewer than 100 answers is the slowest. Doubled: request_ids that were answered twice. A picture whose "
    "replica died may have been scanned twice; it is answered once."
)

COLUMNS = (
    Column("fault"),
    Column("sent"),
    Column("sent/s", 1),
    *(Column(heading) for heading in ("failed", "late", "doubled")),
    *(Column(f"p99 {part}, ms") for part in ("before", "during", "after")),
    Column("max ms"),
    Column("whole again after, s", 1),
)


@dataclass(frozen=True, slots=True)
class Struck:
    """A load with a fault in it.

    Attributes:
        fault: what was done, in words.
        load: with its outcomes.
        fault_s: when it was done, in seconds since the load began.
        whole_after_s: seconds from the fault until as many replicas ran as before; None if they never did.
    """

    fault: str
    load: Load
    fault_s: float
    whole_after_s: float | None

    @property
    def recovered_s(self) -> float:
        """The moment from which all is as it was, in seconds since the load began; infinite if it never is."""
        return float("inf") if self.whole_after_s is None else self.fault_s + self.whole_after_s

    def parts(self) -> tuple[list[Outcome], list[Outcome], list[Outcome]]:
        """Requests that had ended when the fault came, those until the recovery, and those that began after it."""
        outcomes = self.load.outcomes
        after = [each for each in outcomes if each.intended_s > self.recovered_s]
        before = [each for each in outcomes if each.ended_s <= self.fault_s and each not in after]
        during = [each for each in outcomes if each.ended_s > self.fault_s and each.intended_s <= self.recovered_s]
        return before, during, after

    @property
    def rate_share_after(self) -> float | None:
        """Pictures scanned a second after the recovery, over pictures sent; None if there was no time after it."""
        left_s = self.load.window_s - self.recovered_s
        sent = len(self.parts()[2])
        if left_s <= 0 or not sent:
            return None
        return goodput_per_s(self.load.outcomes, self.recovered_s, self.load.window_s) / (sent / left_s)


def recovery_table(struck: Sequence[Struck]) -> Table:
    """One row for each fault."""
    return Table(COLUMNS, tuple(map(_row, struck)))


def recovery_sections(struck: Sequence[Struck]) -> list[Section]:
    """The answers and their timeline, for each fault."""
    return [Section(each.fault, statuses(each.load.outcomes), plots=(_plot(each),)) for each in struck]


def recovery_checks(struck: Struck) -> list[Check]:
    """No request failed, none was late, none was answered twice, and all is as before."""
    outcomes = struck.load.outcomes
    return [
        at_most(f"{struck.fault}: failed", sum(each.is_failed for each in outcomes), 0),
        at_most(f"{struck.fault}: later than {LATE_S} s", len(late(outcomes)), 0),
        at_most(f"{struck.fault}: answered twice", len(doubled(outcomes)), 0),
        at_least(f"{struck.fault}: rate afterwards ÷ sent", struck.rate_share_after, LEAST_RATE_SHARE, digits=2),
    ]


def _row(struck: Struck) -> tuple[Cell, ...]:
    outcomes = struck.load.outcomes
    p99s_ms = [each.percentile_ms(0.99) if each.count else None for each in map(latencies, struck.parts())]
    counts = (sum(each.is_failed for each in outcomes), len(late(outcomes)), len(doubled(outcomes)))
    slowest_ms = latencies(outcomes).told_percentile_ms(1)
    return (
        *(struck.fault, len(outcomes), struck.load.offered_per_s, *counts, *p99s_ms, slowest_ms),
        struck.whole_after_s,
    )


def _plot(struck: Struck) -> Plot:
    outcomes = struck.load.outcomes
    rates = {
        "scanned": rate_per_second(outcomes, lambda each: each.is_scanned),
        "failed": rate_per_second(outcomes, lambda each: each.is_failed),
    }
    events = {"fault": struck.fault_s}
    if struck.whole_after_s is not None:
        events["whole again"] = struck.recovered_s
    return Plot.timeline(f"{struck.fault}: answers", "answers a second", rates, events=events)
