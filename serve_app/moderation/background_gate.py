"""A gate for background work, so that it never fills the places in which uploads wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from serve_app.concurrency.fair_queue import FairQueue
from serve_app.domain import Call, OverloadedError

# Enough for the next pictures of a client with a few connections; a client with hundreds must not take the requests of
# live uploads.
_WAITING_PER_PICTURE = 4


# Two pictures leave most of a batch empty.
_TIMES_WHEN_IDLE = 4


class BackgroundGate:
    """Lets background pictures through, of sources by turns.

    Beside live pictures, at most ``at_once``; four times as many while there is none. Live ones do not wait here.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._inside = self._live = 0
        self._max_waiting = at_once * _WAITING_PER_PICTURE
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @contextlib.contextmanager
    def beside_live(self) -> Iterator[None]:
        """A live picture is here until the block ends."""
        self._live += 1
        try:
            yield
        finally:
            self._live -= 1
            self._hand_out()

    @contextlib.asynccontextmanager
    async def through(self, call: Call) -> AsyncIterator[None]:
        """Wait for a place; it is free again when the block ends.

        Raises:
            OverloadedError: too many of its source wait already.
        """
        if (waiting := self._waiting.waiting(call.source)) >= self._max_waiting:
            raise OverloadedError(f"the background lane is full: {waiting} pictures are waiting")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(place, call.source, call.share)
        self._hand_out()
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._waiting.remove(place, call.source)
            else:
                self._give_back()  # handed out in the moment in which the caller went away
            raise
        try:
            yield
        finally:
            self._give_back()

    def _give_back(self) -> None:
        self._inside -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        most = self._at_once if self._live else self._at_once * _TIMES_WHEN_IDLE
        while self._inside < most and self._waiting:
            place = self._waiting.pop()
            if not place.done():
                self._inside += 1
                place.set_result(None)
