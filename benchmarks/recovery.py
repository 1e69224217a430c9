"""What a load says of a fault in the middle of it: before, during and after, as arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load import Load
from benchmarks.outcomes import (
    Outcome,
    doubled,
    goodput_per_s,
    late,
    latencies,
    rate_per_second,
    slowest_ms,
    statuses,
)
from benchmarks.plots import Axis, Mark, Plot, Scale, timeline
from benchmarks.report import Cell, Check, Column, Section, Table, at_least, at_most
from benchmarks.tables import LATE_S

LEAST_RATE_SHARE = 0.9
"""Of what was sent after the recovery, so much is looked at within the same time: arrivals are random."""

RECOVERY_NOTE = (
    "Before, during and after are parted by the fault and by the moment at which as many replicas run as before; the "
    "p99 of fewer than 100 answers is the slowest. Doubled: answers that nobody asked for, and request_ids answered "
    "twice. A picture whose replica died may have been looked at twice; it is answered once."
)

COLUMNS = (
    Column("fault"),
    Column("sent"),
    Column("sent/s", 1),
    Column("failed"),
    Column("late"),
    Column("doubled"),
    Column("p99 before, ms"),
    Column("p99 during, ms"),
    Column("p99 after, ms"),
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
    def recovered_s(self) -> float | None:
        """The moment from which all is as it was, in seconds since the load began."""
        return None if self.whole_after_s is None else self.fault_s + self.whole_after_s

    @property
    def before(self) -> list[Outcome]:
        """Requests that had ended when the fault came."""
        return [each for each in self.load.outcomes if each.ended_s <= self.fault_s]

    @property
    def during(self) -> list[Outcome]:
        """Requests that were under way when the fault came, and all until the recovery."""
        recovered_s = float("inf") if self.recovered_s is None else self.recovered_s
        return [each for each in self.load.outcomes if each.ended_s > self.fault_s and each.intended_s <= recovered_s]

    @property
    def after(self) -> list[Outcome]:
        """Requests that began when all was as before."""
        if self.recovered_s is None:
            return []
        return [each for each in self.load.outcomes if each.intended_s > self.recovered_s]

    @property
    def failed(self) -> list[Outcome]:
        """Requests without an answer, and answers that say that nobody looked."""
        return [each for each in self.load.outcomes if each.is_failed]

    @property
    def rate_share_after(self) -> float | None:
        """Pictures looked at a second after the recovery, over pictures sent; None if there was no time after it."""
        if self.recovered_s is None or self.recovered_s >= self.load.window_s:
            return None
        good_per_s = goodput_per_s(self.load.outcomes, self.recovered_s, self.load.window_s, LATE_S)
        sent_per_s = len(self.after) / (self.load.window_s - self.recovered_s)
        return good_per_s / sent_per_s if sent_per_s else None


def recovery_table(struck: Sequence[Struck]) -> Table:
    """One row for each fault."""
    return Table(COLUMNS, tuple(_row(each) for each in struck))


def recovery_sections(struck: Sequence[Struck]) -> list[Section]:
    """What was answered and the timeline, for each fault."""
    return [Section(each.fault, statuses(each.load.outcomes), plots=_plots(each)) for each in struck]


def recovery_checks(struck: Struck) -> list[Check]:
    """No request failed, none was late, none was answered twice, and all is as before."""
    outcomes = struck.load.outcomes
    answered_twice = len(doubled(outcomes)) + struck.load.unasked_answers
    return [
        at_most(f"{struck.fault}: failed", len(struck.failed), 0, ""),
        at_most(f"{struck.fault}: later than {LATE_S} s", len(late(outcomes, LATE_S)), 0, ""),
        at_most(f"{struck.fault}: answered twice", answered_twice, 0, ""),
        at_least(f"{struck.fault}: full rate again, of what is sent", struck.rate_share_after, LEAST_RATE_SHARE, "", 2),
    ]


def _row(struck: Struck) -> tuple[Cell, ...]:
    outcomes = struck.load.outcomes
    parts = (struck.before, struck.during, struck.after)
    return (
        struck.fault,
        len(outcomes),
        struck.load.offered_per_s,
        len(struck.failed),
        len(late(outcomes, LATE_S)),
        len(doubled(outcomes)) + struck.load.unasked_answers,
        *(_p99_ms(part) for part in parts),
        latencies(outcomes).told_percentile_ms(1),
        struck.whole_after_s,
    )


def _p99_ms(outcomes: Sequence[Outcome]) -> float | None:
    """Of fewer than 100 answers, the slowest."""
    answered = latencies(outcomes)
    return answered.percentile_ms(0.99) if answered.count else None


def _plots(struck: Struck) -> tuple[Plot, ...]:
    outcomes = struck.load.outcomes
    events = [Mark(struck.fault_s, "fault")]
    if struck.recovered_s is not None:
        events.append(Mark(struck.recovered_s, "whole again"))
    rates = {
        "looked at": rate_per_second(outcomes, lambda each: each.is_looked_at),
        "failed": rate_per_second(outcomes, lambda each: each.is_failed),
    }
    slowest = {"slowest answer": slowest_ms(outcomes)}
    late_line = [Mark(LATE_S * 1e3, "late")]
    return (
        timeline(f"{struck.fault}: answers", Axis("answers a second"), rates, events),
        timeline(f"{struck.fault}: slowest", Axis("ms", Scale.LOG), slowest, events, late_line),
    )
