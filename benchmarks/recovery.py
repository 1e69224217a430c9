"""What a load says about a fault in the middle of it: before, during and after, as arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.checks import in_time
from benchmarks.outcomes import Load, Outcome, goodput_per_s, latencies_s, percentile_ms
from benchmarks.record import Cell, Check, Table, at_least, table

LEAST_RATE_SHARE = 0.9
"""Of what was sent after the recovery, so much is scanned within the same time: arrivals are random."""

_TIMES = {"p99 before, ms": 0, "p99 during, ms": 0, "p99 after, ms": 0, "max ms": 0, "whole again after, s": 1}
_COLUMNS = {"fault": 0, "sent": 0, "failed": 0, "late": 0, "doubled": 0, **_TIMES}
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


def recovery_table(heading: str, struck: Sequence[Struck]) -> Table:
    """One row for each fault."""
    return table(heading, _COLUMNS, map(_row, struck), _NOTE)


def recovery_checks(struck: Sequence[Struck]) -> list[Check]:
    """All was answered, in time and once, and after each fault all is as before."""
    return [*in_time([each.load for each in struck]), *map(recovered, struck)]


def recovered(struck: Struck) -> Check:
    """That pictures sent after the recovery are scanned as they were before the fault."""
    claim = f"{struck.load.name}: rate afterwards ÷ sent"
    return at_least(claim, struck.rate_share_after, LEAST_RATE_SHARE, digits=2)


def _row(struck: Struck) -> tuple[Cell, ...]:
    load = struck.load
    p99s_ms = (percentile_ms(latencies_s(part), 0.99) for part in struck.parts())
    slowest_ms = percentile_ms(latencies_s(load.outcomes), 1)
    counts = (len(load.outcomes), load.failed, load.late, load.doubled)
    return load.name, *counts, *p99s_ms, slowest_ms, struck.whole_after_s
