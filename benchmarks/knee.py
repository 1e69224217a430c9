"""Where a service stops keeping up, as arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load import Load
from benchmarks.outcomes import latencies
from benchmarks.statistics import Latencies
from benchmarks.tables import steady_goodput_per_s

KEPT_UP_SHARE = 0.99


@dataclass(frozen=True, slots=True)
class Step:
    """One offered load.

    Attributes:
        offered_per_s: pictures sent a second.
        looked_at_per_s: pictures looked at a second, while the load lasted.
        in_time_share: of the pictures sent, the share that was looked at within the wanted time.
        latencies: of all answers.
    """

    offered_per_s: float
    looked_at_per_s: float
    in_time_share: float
    latencies: Latencies

    @classmethod
    def of(cls, load: Load, within_s: float) -> Step:
        """What a load came to, where ``within_s`` is the wanted time."""
        in_time = sum(each.is_looked_at and each.latency_s <= within_s for each in load.outcomes)
        return cls(
            load.offered_per_s,
            steady_goodput_per_s(load),
            in_time / len(load.outcomes),
            latencies(load.outcomes),
        )


def knee(steps: Sequence[Step]) -> Step | None:
    """The highest load up to which the service kept up, of steps in ascending order of load.

    It keeps up with a load if at least 99 % of the pictures were looked at within the wanted time. None if it did not
    keep up with the first one. A load above one that it did not keep up with does not count: luck is not capacity.
    """
    kept_up: Step | None = None
    for step in steps:
        if step.in_time_share < KEPT_UP_SHARE:
            break
        kept_up = step
    return kept_up
