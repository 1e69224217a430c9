"""The network between the front and a worker, as it is measured: round trips, bytes a second, signs of life."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from serve_app.domain import Clock
from serve_app.remote.fleet.ports import Line
from serve_app.remote.fleet.throughput import Throughput
from serve_app.remote.messages import Ping

_ASSUMED_ROUND_TRIP_S = 0.1
_ASSUMED_BYTES_PER_S = 2.5e6
"""Of a home link (20 Mbit/s), until one is measured."""

_NEWEST_WEIGHT = 0.2
_MOST_TIMES = 3.0
"""A transfer counts for at most this many times its expected time, as a pass does."""
_LEAST_BYTES_PER_S, _MOST_BYTES_PER_S = 1e4, 1e10

_SETTLED_S, _RECOVERY_S = 5.0, 120.0
"""After the first of them without a transfer, half of a link's slowness is forgotten in each of the second."""

# The least of the recent ones: the others waited somewhere.
_ROUND_TRIPS = 10

# Transfers that take less than this say more about event loops than about the network.
_NOISE_S = 0.002


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes on their way: how many, and how many were sent until then; the seconds that they are expected to take."""

    size_bytes: int
    through_bytes: int
    expected_s: float


class Link:
    """Measures one line."""

    def __init__(self, line: Line, clock: Clock) -> None:
        """``line``: whose queue counts too."""
        self._line = line
        self._clock = clock
        self._round_trips_s: deque[float] = deque(maxlen=_ROUND_TRIPS)
        self._bytes_per_s = _ASSUMED_BYTES_PER_S
        self._transfers = 0
        self._measured_s = clock()
        self._sent_bytes = 0
        self._arrived = Throughput(clock)
        self._on_the_way_bytes, self._counted_s = 0.0, clock()
        self._pings = 0
        self._pinged_s: float | None = None
        self._ping_is_clear = False
        self._heard_s = clock()

    @property
    def round_trip_s(self) -> float:
        """Seconds of a small message there and back."""
        return min(self._round_trips_s, default=_ASSUMED_ROUND_TRIP_S)

    @property
    def bytes_per_s(self) -> float:
        """Towards the worker. A slow link is thought to recover, or a worker behind it would never be asked again."""
        waited_s = self._clock() - self._measured_s
        if self._bytes_per_s >= _ASSUMED_BYTES_PER_S or waited_s < _SETTLED_S:
            return self._bytes_per_s
        left = 0.5 ** (waited_s / _RECOVERY_S)
        return float(_ASSUMED_BYTES_PER_S * (self._bytes_per_s / _ASSUMED_BYTES_PER_S) ** left)

    @property
    def is_measured(self) -> bool:
        """Whether a transfer has been."""
        return self._transfers > 0

    def transfer_s(self, size_bytes: int) -> float:
        """Seconds until the last of so many bytes, handed over now, has left for the worker."""
        return (max(self._line.unsent_bytes, self._left_bytes()) + size_bytes) / self.bytes_per_s

    @property
    def on_the_way_s(self) -> float:
        """Seconds until what is still leaving could have been answered; zero if nothing is."""
        leaves_s = self.transfer_s(0)
        return leaves_s + self.round_trip_s if leaves_s > 0.0 else 0.0

    def began(self, size_bytes: int) -> Transfer:
        """So many bytes are handed over now."""
        transfer_s = self.transfer_s(size_bytes)
        self._on_the_way_bytes, self._counted_s = self._left_bytes() + size_bytes, self._clock()
        self._sent_bytes += size_bytes
        return Transfer(size_bytes, self._sent_bytes, transfer_s)

    def _left_bytes(self) -> float:
        """Of those that were handed over, about so many have not left yet, wherever they are."""
        return max(0.0, self._on_the_way_bytes - (self._clock() - self._counted_s) * self.bytes_per_s)

    def arrived(self, transfer: Transfer, on_link_s: float) -> None:
        """Learn from a transfer of which the link took ``on_link_s``, its round trip included."""
        took_s = max(on_link_s - self.round_trip_s, _NOISE_S)
        times = took_s / max(transfer.expected_s, _NOISE_S)
        if self.is_measured:
            times = min(times, _MOST_TIMES)
        behind_bytes = float(self._sent_bytes - transfer.through_bytes)
        self._on_the_way_bytes, self._counted_s = min(self._left_bytes(), behind_bytes), self._clock()
        self._transfers += 1
        weight = max(_NEWEST_WEIGHT, 1.0 / self._transfers)
        if times > 1.0:
            # Those that were on the link together were slow together, and count as one.
            weight *= transfer.size_bytes / (behind_bytes + transfer.size_bytes)
        rate = self.bytes_per_s / (1.0 + weight * (times - 1.0))
        self._arrived.add(transfer.size_bytes)
        rate = max(rate, self._arrived.per_s)
        self._measured_s = self._clock()
        self._bytes_per_s = min(max(rate, _LEAST_BYTES_PER_S), _MOST_BYTES_PER_S)

    def ping(self) -> None:
        """Send a ping, unless one is on its way."""
        if self._pinged_s is None:
            self._pings += 1
            self._pinged_s = self._clock()
            self._ping_is_clear = self._line.unsent_bytes == 0 and self._left_bytes() == 0
            self._line.send(Ping(self._pings))

    def heard(self) -> None:
        """Something came from the worker."""
        self._heard_s = self._clock()

    def ponged(self, number: int) -> None:
        """The answer to a ping; one to another than the latest is dropped."""
        if number == self._pings and self._pinged_s is not None:
            took_s = self._clock() - self._pinged_s
            # One that waited behind pictures says at most that the round trip is no longer than this.
            if self._ping_is_clear or not self._round_trips_s or took_s < self.round_trip_s:
                self._round_trips_s.append(took_s)
            self._pinged_s = None

    @property
    def silent_s(self) -> float:
        """Seconds for which an answer to a ping is missing, and nothing else came either."""
        if self._pinged_s is None:
            return 0.0
        return max(0.0, self._clock() - max(self._pinged_s, self._heard_s))
