"""Admission: refuses, before any work is spent on it, a picture that could not be answered in time.

By Little's law (Little 1961) the number of pictures in a system is its throughput times the time that each spends
there. So a picture that arrives behind ``n`` others waits for about ``n / rate``, whichever stage is the bottleneck.
The stages refuse pictures too, but only after these were sent and decoded for nothing (``docs/adr/0008``).

Several sources share the room: what one does not use, the others may. Once it is full, a source still gets in with its
share of it, and the others wait until as many have left (``docs/adr/0022``).
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from serve_app.domain import UNNAMED_SOURCE, Clock, FullError, SourceFullError

# The share of the deadline that a picture may wait: the slowest device's passes take as long, and the rest absorbs
# pictures of many views, the loss of a replica, and a service that has just become slower.
_SHARE_OF_DEADLINE = 0.25

# The share of the longest wait for which a full service refuses without asking: long enough to save most requests to
# the ingress, and short enough that few places become free meanwhile (docs/adr/0008).
_FULL_FOR_SHARE = 0.2

# Sources that come one after another to a full service may fill it with their shares once more, and no further: the
# wait is then half of the deadline.
_MOST_TIMES_FULL = 2

# With this many pictures being examined, every stage is busy and batches fill.
_FULL = 16

# The limit until a full service has been seen: above _FULL, so that one can be seen.
_AT_FIRST = 64

# Answers come in batches, and a pass may take a quarter of the deadline: a shorter window could see none.
_WINDOW_S = 4.0

# About two windows count: one may have had pictures of sixty views, and older ones say little of a service that has
# lost a replica.
_REMEMBERED_S = 10.0


@dataclass(frozen=True, slots=True)
class _Window:
    """The rate of answers in one window of time; ``is_full`` if every stage was busy throughout."""

    ended_s: float
    answers_per_s: float
    is_full: bool


class AdmissionControl:
    """Counts the pictures inside and the answers; for one event loop.

    A picture is inside from the first byte of its body to the end of its examination. Only authorised callers count as
    demand: refusals by the front end, which checks no secret, count in the share of authorised callers.
    """

    def __init__(
        self, deadline_s: float, clock: Clock = time.monotonic, shares: Mapping[str, float] | None = None
    ) -> None:
        """``deadline_s``: as in the settings. ``shares``: the weights of sources, if there are several."""
        self._longest_wait_s = deadline_s * _SHARE_OF_DEADLINE
        self._clock = clock
        self._shares = dict(shares or {})
        self._inside_by_source: Counter[str] = Counter()
        self._unasked_by_source: Counter[str] = Counter()
        self._inside = self._examined = 0
        self._refused_by_source: Counter[str] = Counter({UNNAMED_SOURCE: 0})
        self._all_refused_before = 0
        self._window_began_s = clock()
        self._least_examined = 0
        self._answers = self._let_in = self._refused = 0
        self._refused_unasked = self._authorised = self._unauthorised = 0
        self._demand = 1.0
        self._windows: deque[_Window] = deque()

    @property
    def limit(self) -> int:
        """The most pictures that may be inside now.

        The rate of a service that was full is its capacity; that of any other service is at most its capacity.
        """
        rate_per_s = max((window.answers_per_s for window in self._windows), default=0.0)
        least = _FULL if any(window.is_full for window in self._windows) else _AT_FIRST
        return max(least, int(rate_per_s * self._longest_wait_s))

    @property
    def demand(self) -> float:
        """How many pictures recently arrived for each one that was let in; 1 while none is refused.

        No stage behind this one sees the refused pictures, and more replicas would be for them.
        """
        return self._demand

    @property
    def pictures_inside(self) -> int:
        """Pictures that are being read or examined."""
        return self._inside

    @property
    def refused(self) -> Mapping[str, int]:
        """Pictures for which there was no room since the start, by source."""
        return dict(self._refused_by_source)

    @property
    def refused_by_front_end(self) -> int:
        """Requests that the front end has refused by itself, since the start."""
        return self._all_refused_before

    @property
    def full_for_s(self) -> float:
        """Seconds after a refusal for which the front end may refuse by itself."""
        return self._longest_wait_s * _FULL_FOR_SHARE

    def count_arrival(self, is_authorised: bool, refused_before: int = 0) -> None:
        """Count a request, before anything else is checked.

        Args:
            is_authorised: whether its secret is right.
            refused_before: requests that the front end has refused since the last one, without checking a secret.
        """
        self._authorised += is_authorised
        self._unauthorised += not is_authorised
        self._refused_unasked += refused_before
        self._all_refused_before += refused_before

    @property
    def is_full(self) -> bool:
        """Whether there is no room for a picture."""
        return self._inside >= self.limit

    def require_room(self, pictures: int = 1, source: str = UNNAMED_SOURCE) -> None:
        """Check that there is room for a picture of ``source`` whose bytes have not been read, or for several.

        Raises:
            FullError: the wait would be too long.
            SourceFullError: so it would for this source; another one may have room.
        """
        self._close_window()
        limit = self.limit
        if self._inside + pictures <= limit:
            return
        if not self._shares:
            self._count_refused(pictures, source)
            raise FullError(f"the service is full: {self._inside} pictures are waiting")
        # Bodies for which nobody had to ask may be any number: they are no reason to refuse another source its share.
        own = self._inside_by_source[source] - self._unasked_by_source[source]
        let_in = self._inside - self._unasked_by_source.total()
        if own + pictures > self._share_of(source, limit) or let_in + pictures > _MOST_TIMES_FULL * limit:
            self._count_refused(pictures, source)
            raise SourceFullError(f"the service is full for {source}: {own} of {let_in} waiting pictures are its")

    def _count_refused(self, pictures: int, source: str) -> None:
        self._refused += pictures
        self._refused_by_source[source] += pictures

    def _share_of(self, source: str, limit: int) -> float:
        """The pictures that ``source`` may have inside of a full service: its share among those that are there."""
        there = {each for each, inside in self._inside_by_source.items() if inside} | {source}
        weights = {each: self._shares.get(each, 1.0) for each in there}
        return max(1.0, limit * weights[source] / sum(weights.values()))

    @contextlib.contextmanager
    def inside(self, source: str = UNNAMED_SOURCE, *, is_asked: bool = True) -> Iterator[None]:
        """A picture of ``source`` is inside for as long as the block, whether or not there is room.

        ``is_asked`` unless its body is read before :meth:`require_room` is asked for it.
        """
        self._inside += 1
        self._inside_by_source[source] += 1
        self._unasked_by_source[source] += not is_asked
        try:
            yield
        finally:
            self._inside -= 1
            self._inside_by_source[source] -= 1
            self._unasked_by_source[source] -= not is_asked

    @contextlib.contextmanager
    def examining(self, source: str = UNNAMED_SOURCE) -> Iterator[None]:
        """A picture of ``source`` is inside, and examined, for as long as the block."""
        self._let_in += 1
        self._examined += 1
        try:
            with self.inside(source):
                yield
                self._answers += 1
        finally:
            self._examined -= 1
            self._least_examined = min(self._least_examined, self._examined)

    def _close_window(self) -> None:
        now_s = self._clock()
        elapsed_s = now_s - self._window_began_s
        if elapsed_s < _WINDOW_S:
            return
        self._windows.append(_Window(now_s, self._answers / elapsed_s, self._least_examined >= _FULL))
        while now_s - self._windows[0].ended_s > _REMEMBERED_S:
            self._windows.popleft()
        came = self._authorised + self._unauthorised
        refused = self._refused + (self._refused_unasked * self._authorised / came if came else 0.0)
        self._demand = 1 + refused / self._let_in if self._let_in else 1.0
        self._window_began_s, self._least_examined = now_s, self._examined
        self._answers = self._let_in = self._refused = 0
        self._refused_unasked = self._authorised = self._unauthorised = 0
