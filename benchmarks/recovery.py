"""What a load says about a fault in the middle of it: before, during and after, as arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.outcomes import LATE_S, Load, Outcome, doubled, goodput_per_s, late, latencies_s, percentile_ms
from benchmarks.record import Cell, Check, Column, Table, at_least, at_most

LEAST_RATE_SHARE = 0.9
"""Of what was sent after the recovery, so much is scanned within the same time: arrivals are random."""

_COLUMNS = (
    Column("fault"),
    *map(Column, ("sent", "failed", "late", "doubled")),
    *(Column(f"p99 {part}, ms") for part in ("before", "during", "after")),
    Column("max ms"),
    Column("whole again after, s", 1),
)
_NOTE = "The p99 of fewer than 100 answers is the slowest. Doubled: request_ids that were answered twice."


@dataclass(frozen=True, slots=True)
class Struck:
    """A load with a fault in it.

    Attributes:
        load: with its outcomes; its name is what was done, in words.
        fault_s: when it was done, in seconds since the load began.
        whole_after_s: seconds from the fault until as many replicas ran as before; None if they never did.
    """

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
    return Table("Faults under load", _COLUMNS, tuple(map(_row, struck)), _NOTE)


def recovery_checks(struck: Sequence[Struck]) -> list[Check]:
    """No request failed, none was late, none was answered twice, and after each fault all is as before."""
    outcomes = [outcome for each in struck for outcome in each.load.outcomes]
    afterwards = [
        at_least(f"{each.load.name}: rate afterwards ÷ sent", each.rate_share_after, LEAST_RATE_SHARE, digits=2)
        for each in struck
    ]
    return [
        at_most("requests that failed", sum(each.load.failed for each in struck), 0),
        at_most(f"answers later than {LATE_S} s", len(late(outcomes)), 0),
        at_most("answers given twice", sum(len(doubled(each.load.outcomes)) for each in struck), 0),
        *afterwards,
    ]


def _row(struck: Struck) -> tuple[Cell, ...]:
    outcomes = struck.load.outcomes
    p99s_ms = (percentile_ms(latencies_s(part), 0.99) for part in struck.parts())
    counts = (struck.load.failed, len(late(outcomes)), len(doubled(outcomes)))
    slowest_ms = percentile_ms(latencies_s(outcomes), 1)
    return struck.load.name, len(outcomes), *counts, *p99s_ms, slowest_ms, struck.whole_after_s
