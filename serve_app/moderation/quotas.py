"""Quotas: how many pictures a minute each source may have scanned.

A quota is a bucket that holds a minute's pictures and is filled evenly (the generic cell rate algorithm, ITU-T I.371):
a source that was quiet may send a minute's pictures at once, and in the long run none has more scanned than its quota.
The quotas are the service's: each of its replicas has an even part.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from serve_app.domain import Clock, SourceFullError
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

_MINUTE_S: Final = 60.0
_ROUNDING_S: Final = 1e-6


class Quotas:
    """The quotas of the sources that have one. For one event loop."""

    def __init__(
        self,
        per_minute: Mapping[str, int],
        replicas: Callable[[], int] = lambda: 1,
        clock: Clock = time.monotonic,
    ) -> None:
        """Create them, full.

        Args:
            per_minute: pictures a minute, by source; a source without a number has no quota.
            replicas: how many processes share the quotas now.
            clock: in seconds.
        """
        self._per_minute = dict(per_minute)
        self._replicas = replicas
        self._clock = clock
        self._full_at_s = dict.fromkeys(per_minute, clock())
        self._told_at_s = dict.fromkeys(per_minute, -math.inf)
        self.refused = dict.fromkeys(per_minute, 0)
        """Pictures over the quota since the start, by source."""

    def require(self, source: str) -> None:
        """Check that one more picture of ``source`` is within its quota.

        Raises:
            SourceFullError: it is one too many.
        """
        if source not in self._per_minute:
            return
        now_s = self._clock()
        # A part of less than one picture a minute would let none in: there is room for one at least.
        most_s = max(_MINUTE_S, self._picture_s(source)) + _ROUNDING_S
        if self._full_again_s(source, now_s) - now_s > most_s:
            self.refused[source] += 1
            self._tell(source, now_s)
            raise SourceFullError(f"{source} is over its quota of {self._per_minute[source]} pictures a minute")

    def count(self, source: str) -> None:
        """Count a picture of ``source``, which was let in."""
        if source in self._per_minute:
            self._full_at_s[source] = self._full_again_s(source, self._clock())

    def _picture_s(self, source: str) -> float:
        """The seconds in which the quota grows by a picture."""
        return _MINUTE_S * max(1, self._replicas()) / self._per_minute[source]

    def _full_again_s(self, source: str, now_s: float) -> float:
        """When the bucket would be full after one more picture."""
        return max(now_s, self._full_at_s[source]) + self._picture_s(source)

    def _tell(self, source: str, now_s: float) -> None:
        """Once a minute: refusals are many."""
        if now_s - self._told_at_s[source] < _MINUTE_S:
            return
        self._told_at_s[source] = now_s
        quota, refused = self._per_minute[source], self.refused[source]
        logger.warning(
            "source_over_quota",
            f"source {source} is over its quota of {quota} pictures a minute: {refused} were too many here since the "
            "start",
            source=source,
            quota_per_minute=quota,
            refused=refused,
        )
