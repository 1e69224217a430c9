"""Offered work: the work that arrives at a replica, in seconds per second."""

from __future__ import annotations

import math
import time

from serve_app.domain import Clock

# As long as the shortest start of a replica: a faster reaction gains nothing, and a longer mean is more exact.
WINDOW_S = 10.0


class OfferedWork:
    """Seconds of work that arrive per second, over about the last ten seconds.

    Exponentially decayed, because such means add up: when a new replica takes over some pictures, its figure grows as
    fast as those of the others fall, and their sum stays the load of all.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._updated_s = clock()
        self._work_s = self._jobs = 0.0

    def add(self, work_s: float) -> None:
        """Count a job of ``work_s`` seconds that has arrived, even if it is then refused."""
        self._decay()
        self._work_s += work_s
        self._jobs += 1.0

    @property
    def rate(self) -> float:
        """Seconds of work per second; 1 keeps one replica just busy."""
        self._decay()
        return self._work_s / WINDOW_S

    @property
    def job_s(self) -> float:
        """Seconds of work in an average recent job; 0 before the first."""
        return self._work_s / self._jobs if self._jobs else 0.0

    def _decay(self) -> None:
        now_s = self._clock()
        kept = math.exp((self._updated_s - now_s) / WINDOW_S)
        self._work_s *= kept
        self._jobs *= kept
        self._updated_s = now_s
