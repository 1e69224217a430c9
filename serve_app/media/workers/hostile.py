"""Which bytes have cost us workers: after two strikes, they are refused without being decoded."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter, OrderedDict

from serve_app.domain import Clock

STRIKES = 2
"""A first loss may be bad luck (the kernel ran out of memory, somebody killed the wrong process); a second is not."""

_Key = tuple[int, bytes]


class HostileBytes:
    """A bounded memory of bodies by their sha256, the longest unseen forgotten first."""

    def __init__(
        self, max_bodies: int = 10_000, forgotten_after_s: float = math.inf, clock: Clock = time.monotonic
    ) -> None:
        """``forgotten_after_s``: seconds after its last strike that a body is innocent again."""
        self._max_bodies = max_bodies
        self._forgotten_after_s = forgotten_after_s
        self._clock = clock
        self._strikes: OrderedDict[_Key, tuple[int, float]] = OrderedDict()  # how many, and when the last one was
        # Hashing 40 MB takes as long as decoding some pictures: only bodies as long as a remembered one are hashed.
        self._lengths: Counter[int] = Counter()

    def strike(self, body: bytes) -> None:
        """A worker was lost with ``body``."""
        key = self._key(body)
        strikes = self._current(key)
        if not strikes:
            self._lengths[len(body)] += 1
        self._strikes[key] = strikes + 1, self._clock()
        self._strikes.move_to_end(key)
        if len(self._strikes) > self._max_bodies:
            self._forget(next(iter(self._strikes)))

    def clear(self, body: bytes) -> None:
        """A worker came back from ``body``: it was not the cause of an earlier loss."""
        if self._lengths[len(body)] and (key := self._key(body)) in self._strikes:
            self._forget(key)

    def __contains__(self, body: bytes) -> bool:
        if not self._lengths[len(body)]:
            return False
        key = self._key(body)
        strikes = self._current(key)
        if strikes:
            self._strikes.move_to_end(key)
        return strikes >= STRIKES

    def is_suspect(self, body: bytes) -> bool:
        """Whether a worker was lost with ``body``, be it once."""
        return bool(self._lengths[len(body)] and self._current(self._key(body)))

    def _current(self, key: _Key) -> int:
        """The strikes that are not too old."""
        strikes, last_s = self._strikes.get(key, (0, 0.0))
        if strikes and self._clock() - last_s >= self._forgotten_after_s:
            self._forget(key)
            return 0
        return strikes

    def _forget(self, key: _Key) -> None:
        del self._strikes[key]
        self._lengths[key[0]] -= 1
        self._lengths += Counter()  # drops what has come to zero

    @staticmethod
    def _key(body: bytes) -> _Key:
        return len(body), hashlib.sha256(body).digest()
