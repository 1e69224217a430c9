"""Log lines about requests without a right secret: anybody can send those, and must not push the decisions out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from serve_app.domain import Clock
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

# Enough to see that an image server has a wrong secret.
_MOST_LINES = 10
_INTERVAL_S = 60.0


def _tell_strangers(requests: int) -> None:
    text = f"{requests} more requests before it had no right secret"
    logger.info("strangers_refused", text, requests=requests)


class Strangers:
    """A minute has a line for each of the first requests without a right secret; the others are told as a number.

    By their number and not by their addresses: behind a front end all of them have the same. For one event loop.
    """

    def __init__(self, clock: Clock = time.monotonic, tell: Callable[[int], None] = _tell_strangers) -> None:
        """``tell`` is told the number of those without a line."""
        self._clock = clock
        self._tell_more = tell
        self._began_s = -math.inf
        self._requests = 0

    def has_line(self) -> bool:
        """Count a request; whether it is to have a line of its own."""
        now_s = self._clock()
        if now_s - self._began_s >= _INTERVAL_S:
            self._tell()
            self._began_s, self._requests = now_s, 0
        self._requests += 1
        return self._requests <= _MOST_LINES

    def _tell(self) -> None:
        requests = self._requests - _MOST_LINES
        if requests > 0:
            self._tell_more(requests)
