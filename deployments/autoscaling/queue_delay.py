"""From predicted queue delay and offered work to a number of replicas: arithmetic alone.

Both figures are needed. The *delay* tells whether the deadline is in danger; but a scorer refuses work that it cannot
finish in time, so that under any overload its delay stays at the deadline. The *offered work* includes refused work,
and tells how many replicas that would take; but it does not include the work that waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueDelaySettings:
    """The keys of ``policy_kwargs``; ``serve_config.yaml`` explains each.

    Raises:
        ValueError: a value out of its range.
    """

    delay_share: float = 0.125
    up_utilisation: float = 0.9
    down_utilisation: float = 0.75
    max_growth: float = 8.0
    stale_after_s: float = 10.0

    def __post_init__(self) -> None:
        if self.stale_after_s <= 0:
            raise ValueError("stale_after_s must be above zero")
        if not 0 <= self.delay_share <= 1:
            raise ValueError("delay_share must be in 0..1: it is a share of the deadline")
        if not 0 < self.down_utilisation <= self.up_utilisation <= 1:
            raise ValueError("utilisations must be in 0..1, and down_utilisation must not be above up_utilisation")
        if self.max_growth <= 1:
            raise ValueError("max_growth must be above 1: otherwise no replica is ever added")


@dataclass(frozen=True, slots=True)
class Workload:
    """The work that waits for all replicas together, and how many there are."""

    target: int
    """Replicas that were wanted last; some may still be starting."""

    running: int
    """Replicas that take pictures."""

    silent: int
    """Running replicas without a recent report. The other figures do not include them."""

    offered_work: float
    """Seconds of work that arrive per second, including refused work."""

    backlog_s: float
    """Seconds of work that wait at all replicas together."""

    deadline_s: float
    """The deadline that the replicas report; meaningless while all are silent."""

    @property
    def delay_s(self) -> float:
        """Seconds that a picture waits that arrives now, if pictures are spread evenly."""
        return self.backlog_s / self.running if self.running else 0.0


def wanted_replicas(workload: Workload, settings: QueueDelaySettings, least: int, most: int) -> int:
    """How many replicas there should be, in ``least..most``.

    Enough to carry the offered work at ``up_utilisation``, and as many more as do the work that waits beyond the
    accepted delay within one deadline. The number falls only if the remaining replicas would be at
    ``down_utilisation`` at most, so that it does not flap, and only if every running replica has reported.
    """
    target = min(max(workload.target, least), most)
    if workload.silent >= workload.running:
        return target
    accepted_s = workload.running * settings.delay_share * workload.deadline_s
    extra = max(0.0, workload.backlog_s - accepted_s) / workload.deadline_s
    enough = math.ceil(workload.offered_work / settings.up_utilisation + extra)
    if enough > target:
        # One wrong figure must not order a whole cluster; replicas that are starting stay wanted.
        enough = max(target, min(enough, math.ceil(workload.running * settings.max_growth)))
    else:
        roomy = math.ceil(workload.offered_work / settings.down_utilisation + extra)
        enough = target if workload.silent else min(roomy, target)
    return min(max(enough, least), most)
