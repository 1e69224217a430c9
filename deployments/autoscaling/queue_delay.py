"""From predicted queue delay and offered work to a number of replicas: arithmetic alone.

Two figures, because each is blind where the other sees. The *delay* says whether the deadline is in danger; but a
scorer refuses what it cannot finish in time, so under overload its delay stands still at the deadline, however much
too much arrives. The *offered work* counts what was refused as well, and says how many replicas that is; but it does
not know of the work that already waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueDelaySettings:
    """What ``policy_kwargs`` in ``serve_config.yaml`` may name; each is explained there.

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
            raise ValueError("stale_after_s is above zero")
        if not 0 <= self.delay_share <= 1:
            raise ValueError("delay_share is a share of the deadline, in 0..1")
        if not 0 < self.down_utilisation <= self.up_utilisation <= 1:
            raise ValueError("utilisations are in 0..1, and down_utilisation is not above up_utilisation")
        if self.max_growth <= 1:
            raise ValueError("max_growth is above 1: with less, nothing ever grows")


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of all replicas together."""

    target: int
    """Replicas that were wanted last; some of them may still be starting."""

    running: int
    """Replicas that take pictures."""

    silent: int
    """Those of the running ones that have not reported, or not for long. The other figures know nothing of them."""

    offered_work: float
    """Seconds of work that arrive per second, refused work included."""

    backlog_s: float
    """Seconds of work that wait, over all replicas."""

    deadline_s: float
    """Seconds that a picture has; as the replicas report it, and without meaning while all are silent."""

    @property
    def delay_s(self) -> float:
        """Seconds that what arrives now waits, if it is spread evenly."""
        return self.backlog_s / self.running if self.running else 0.0


def wanted_replicas(demand: Demand, settings: QueueDelaySettings, least: int, most: int) -> int:
    """How many replicas there should be, in ``least..most``.

    Enough to carry the offered work at ``up_utilisation``, and as many more as work off within one deadline what waits
    beyond the accepted delay. Fewer than now only if these would be at ``down_utilisation``, so that a number that was
    right a moment ago does not flap, and only if every running replica has reported.
    """
    target = min(max(demand.target, least), most)
    if demand.silent >= demand.running:
        return target
    accepted_s = demand.running * settings.delay_share * demand.deadline_s
    extra = max(0.0, demand.backlog_s - accepted_s) / demand.deadline_s
    enough = math.ceil(demand.offered_work / settings.up_utilisation + extra)
    if enough > target:
        # One wrong figure must not order a cluster's worth of devices; what is starting already stays wanted.
        enough = max(target, min(enough, math.ceil(demand.running * settings.max_growth)))
    else:
        roomy = math.ceil(demand.offered_work / settings.down_utilisation + extra)
        enough = target if demand.silent else min(roomy, target)
    return min(max(enough, least), most)
