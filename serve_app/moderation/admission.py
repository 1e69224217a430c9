"""Whether a picture that arrives now can still be answered in time: asked before any work is spent on it.

By Little's law (Little 1961) the pictures in a system are its throughput times the time that each spends there. So a
picture that arrives behind ``n`` others waits for about ``n / rate``, whichever stage is the narrow one and however
many replicas it has: the rate of answers tells it all. The stages refuse by themselves what they cannot do; but what
they refuse was sent and decoded for nothing, and under a fivefold load that is most of the work.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from serve_app.domain import Clock, FullError

# Share of the deadline that may be waited for: enough to fill the batches of the slowest device, whose passes take as
# long. The rest absorbs what the prediction does not know: pictures of many views, a replica that dies and whose
# pictures are done again, a service that has just become slower.
_SHARE_OF_DEADLINE = 0.25

# Once full, for what share of the longest wait: so long that few refusals have to be asked for, and so short that the
# places that come free meanwhile are few among those who wait. Pictures then come in bursts, which disturb passes on
# the same cores less often: at twice the capacity, goodput was 0.98 of it, and 0.90 with half of this.
_FULL_FOR_SHARE = 0.2

# With this many pictures being examined, every stage is busy and batches fill: the service does all that it can.
_FULL = 16

# How many are let in at least while that is not known. More than full, so that it becomes known.
_AT_FIRST = 64

# Answers come in batches, and a pass may take a quarter of the deadline: a shorter window would see none, or two.
_WINDOW_S = 4.0

# The rate is the better one of about two windows: one may have had pictures of sixty views, and what was longer ago
# says little of a service that has lost a replica, or that refuses so much that refusing takes its cores.
_REMEMBERED_S = 10.0


@dataclass(frozen=True, slots=True)
class _Window:
    """What came out in it; ``is_full`` if every stage was busy throughout."""

    ended_s: float
    answers_per_s: float
    is_full: bool


class AdmissionControl:
    """Counts what is inside and what comes out; for one event loop.

    A picture is inside from the first byte of its body to the end of its examination. Only callers that are authorised
    count as demand: refusals that nobody asked the secret for count in the share of authorised callers.
    """

    def __init__(self, deadline_s: float, clock: Clock = time.monotonic) -> None:
        """``deadline_s``: as in the settings."""
        self._longest_wait_s = deadline_s * _SHARE_OF_DEADLINE
        self._clock = clock
        self._inside = self._examined = 0
        self._window_began_s = clock()
        self._least_examined = 0
        self._answers = self._let_in = self._refused = 0
        self._refused_unasked = self._authorised = self._unauthorised = 0
        self._demand = 1.0
        self._windows: deque[_Window] = deque()

    @property
    def limit(self) -> int:
        """How many pictures may be inside now.

        What came out of a service that was not full is the least that it can do, and of one that was full, all.
        """
        rate_per_s = max((window.answers_per_s for window in self._windows), default=0.0)
        least = _FULL if any(window.is_full for window in self._windows) else _AT_FIRST
        return max(least, int(rate_per_s * self._longest_wait_s))

    @property
    def demand(self) -> float:
        """How many pictures recently came for each that was let in; 1 while none is refused.

        What is refused here is seen by no stage behind, and it is what more replicas would be for.
        """
        return self._demand

    @property
    def full_for_s(self) -> float:
        """For how long, after a refusal, others may be refused without asking."""
        return self._longest_wait_s * _FULL_FOR_SHARE

    def count_arrival(self, is_authorised: bool, refused_before: int = 0) -> None:
        """For each request, before anything else is asked of it.

        Args:
            is_authorised: whether its secret is right.
            refused_before: requests that the front end has refused since the last one, without looking at a secret.
        """
        self._authorised += is_authorised
        self._unauthorised += not is_authorised
        self._refused_unasked += refused_before

    def require_room(self) -> None:
        """For a picture whose bytes are not there yet.

        Raises:
            FullError: at once; the wait would be too long.
        """
        self._close_window()
        if self._inside >= self.limit:
            self._refused += 1
            raise FullError(f"{self._inside} pictures are waiting already")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """A picture is inside for as long as the block, whether or not there is room."""
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    @contextlib.contextmanager
    def examining(self) -> Iterator[None]:
        """A picture is inside, and examined, for as long as the block."""
        self._let_in += 1
        self._examined += 1
        try:
            with self.inside():
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
