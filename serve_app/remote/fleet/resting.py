"""A worker that fails every picture is quick at it, and would be given all: it rests."""

from __future__ import annotations

from serve_app.domain import Clock

_IN_A_ROW = 3
_MOST_S, _DOUBLINGS = 60.0, 6


class Resting:
    """Rests after three failures in a row: for a second, then for twice as long after each further one."""

    def __init__(self, clock: Clock) -> None:
        """A worker that has not failed."""
        self._clock = clock
        self._failures = 0
        self._until_s = clock()

    @property
    def is_resting(self) -> bool:
        """Whether it is given nothing."""
        return self._until_s > self._clock()

    def is_over_by(self, at_s: float) -> bool:
        """Whether it may be given pictures at a moment of the clock."""
        return self._until_s <= at_s

    def succeeded(self) -> None:
        """It scored a picture."""
        self._failures = 0

    def failed(self) -> float:
        """It failed one by a fault of its own: for how many seconds it rests."""
        self._failures += 1
        if self._failures < _IN_A_ROW:
            return 0.0
        rest_s = min(2.0 ** min(self._failures - _IN_A_ROW, _DOUBLINGS), _MOST_S)
        self._until_s = self._clock() + rest_s
        return rest_s
