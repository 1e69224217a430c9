"""How long to wait before the next try: exponential, with full jitter.

A thousand workers whose front was restarted would otherwise all come back in the same moment, again and again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from serve_app.domain import Clock

FIRST_S: Final = 1.0
LONGEST_S: Final = 60.0

LIVED_S: Final = 60.0
"""A connection that lasted for so long was a good one: the next wait is a short one again."""


class Backoff:
    """The waits between tries: each is drawn from zero to a bound, which doubles from 1 s to 60 s."""

    def __init__(
        self,
        draw: Callable[[], float] = random.random,
        clock: Clock = time.monotonic,
    ) -> None:
        """``draw`` gives a number from 0 to 1."""
        self._draw = draw
        self._clock = clock
        self._bound_s = FIRST_S
        self._accepted_at_s: float | None = None

    def accepted(self) -> None:
        """A connection begins to be of use."""
        self._accepted_at_s = self._clock()

    def next_s(self) -> float:
        """Seconds to wait, after a connection has ended or has not come about."""
        accepted_at_s, self._accepted_at_s = self._accepted_at_s, None
        if accepted_at_s is not None and self._clock() - accepted_at_s >= LIVED_S:
            self._bound_s = FIRST_S
        wait_s = self._draw() * self._bound_s
        self._bound_s = min(2 * self._bound_s, LONGEST_S)
        return wait_s
