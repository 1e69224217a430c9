"""Failed attempts to authenticate: an address that fails too often must wait, and fills no log."""

from __future__ import annotations

import time
from collections import OrderedDict, deque

from serve_app.domain import Clock

# Somebody who mistypes a secret needs fewer.
_MOST_FAILURES = 10
_WINDOW_S = 60.0

# Addresses that are remembered, so that a flood of them does not fill the memory.
_MOST_ADDRESSES = 1024


class Failures:
    """Counts the failures of each address in the last minute. For one event loop."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds for which ``address`` is told to wait when it fails again; zero if it is not."""
        failed_s = self._by_address.get(address)
        if failed_s is None or len(failed_s) < _MOST_FAILURES:
            return 0.0
        return max(0.0, failed_s[0] + _WINDOW_S - self._clock())

    def count(self, address: str) -> None:
        """``address`` has failed."""
        failed_s = self._by_address.setdefault(address, deque(maxlen=_MOST_FAILURES))
        failed_s.append(self._clock())
        self._by_address.move_to_end(address)
        if len(self._by_address) > _MOST_ADDRESSES:
            self._by_address.popitem(last=False)
