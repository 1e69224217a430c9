"""How much was done of late, which bounds how long it can have taken."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from serve_app.domain import Clock

_WINDOW_S = 2.0
_LEAST_S = 0.25

_TOGETHER_S = 0.05
"""What is done within this time may have been one pass."""


@dataclass(slots=True)
class _Done:
    began_s: float
    amount: float


class Throughput:
    """Of a device or a link, over a short time.

    How long a picture took says little where others were before it, or where the front itself was slow to send and to
    read. So many done in so short a time is certain: what is thought of a worker must not be worse than it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._done: deque[_Done] = deque()
        self._total = 0.0
        self._latest_s = 0.0

    def add(self, amount: float) -> None:
        """So much has been done now."""
        self._latest_s = now_s = self._clock()
        if self._done and now_s - self._done[-1].began_s < _TOGETHER_S:
            self._done[-1].amount += amount
        else:
            self._done.append(_Done(now_s, amount))
        self._total += amount
        while self._done[0].began_s < now_s - _WINDOW_S:
            self._total -= self._done.popleft().amount

    @property
    def per_s(self) -> float:
        """What was surely done in a second; zero while that is not known."""
        if not self._done:
            return 0.0
        first = self._done[0]
        # The first of it was done before.
        past_s = self._latest_s - first.began_s
        return (self._total - first.amount) / past_s if past_s >= _LEAST_S else 0.0
