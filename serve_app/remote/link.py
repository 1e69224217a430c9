"""The network between the front and a worker, as it is measured: round trips, bytes a second, signs of life."""

from __future__ import annotations

from collections import deque

from serve_app.domain import Clock
from serve_app.remote.line import Line
from serve_app.remote.messages import Ping

_ASSUMED_ROUND_TRIP_S = 0.1
_ASSUMED_BYTES_PER_S = 2.5e6
"""Of a home link (20 Mbit/s), until one is measured."""

_NEWEST_WEIGHT = 0.2
_MOST_TIMES = 15.0
_LEAST_BYTES_PER_S, _MOST_BYTES_PER_S = 1e4, 1e10

# The least of the recent ones: others waited behind pictures.
_ROUND_TRIPS = 10

# Transfers that take less than this say more about event loops than about the network.
_NOISE_S = 0.002


class Link:
    """Measures one line."""

    def __init__(self, line: Line, clock: Clock) -> None:
        """``line``: whose queue counts too."""
        self._line = line
        self._clock = clock
        self._round_trips_s: deque[float] = deque(maxlen=_ROUND_TRIPS)
        self._bytes_per_s = _ASSUMED_BYTES_PER_S
        self._transfers = 0
        self._free_s = clock()
        self._pings = 0
        self._pinged_s: float | None = None
        self._heard_s = clock()

    @property
    def round_trip_s(self) -> float:
        """Seconds of a small message there and back."""
        return min(self._round_trips_s, default=_ASSUMED_ROUND_TRIP_S)

    @property
    def bytes_per_s(self) -> float:
        """Towards the worker."""
        return self._bytes_per_s

    def transfer_s(self, size_bytes: int) -> float:
        """Seconds until the last of so many bytes, handed over now, has left for the worker."""
        now_s = self._clock()
        queued_s = max(self._line.unsent_bytes / self._bytes_per_s, self._free_s - now_s, 0.0)
        return queued_s + size_bytes / self._bytes_per_s

    def began(self, size_bytes: int) -> float:
        """So many bytes are being handed over: what :meth:`transfer_s` said of them."""
        transfer_s = self.transfer_s(size_bytes)
        self._free_s = self._clock() + transfer_s
        return transfer_s

    def arrived(self, expected_s: float, on_link_s: float) -> None:
        """Learn from a transfer of which the link took ``on_link_s``, its round trip included."""
        took_s = max(on_link_s - self.round_trip_s, _NOISE_S)
        times = min(took_s / max(expected_s, _NOISE_S), _MOST_TIMES)
        self._transfers += 1
        weight = max(_NEWEST_WEIGHT, 1.0 / self._transfers)
        rate = self._bytes_per_s / (1.0 + weight * (times - 1.0))
        self._bytes_per_s = min(max(rate, _LEAST_BYTES_PER_S), _MOST_BYTES_PER_S)

    def ping(self) -> None:
        """Send a ping, unless one is on its way."""
        if self._pinged_s is None:
            self._pings += 1
            self._pinged_s = self._clock()
            self._line.send(Ping(self._pings))

    def heard(self) -> None:
        """Something came from the worker."""
        self._heard_s = self._clock()

    def ponged(self, number: int) -> None:
        """The answer to a ping; one to another than the latest is dropped."""
        if number == self._pings and self._pinged_s is not None:
            self._round_trips_s.append(self._clock() - self._pinged_s)
            self._pinged_s = None

    @property
    def silent_s(self) -> float:
        """Seconds for which an answer to a ping is missing, and nothing else came either."""
        if self._pinged_s is None:
            return 0.0
        return max(0.0, self._clock() - max(self._pinged_s, self._heard_s))
