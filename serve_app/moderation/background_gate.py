"""A gate for background work, so that it never fills the places in which uploads wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from serve_app.domain import Call, OverloadedError
from serve_app.fair_queue import FairQueue

# Enough for the next pictures of a client with a few connections; a client with hundreds must not take the requests of
# live uploads.
_WAITING_PER_PICTURE = 4


class BackgroundGate:
    """Lets at most ``at_once`` background pictures through, of sources by turns; live ones do not pass here."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._max_waiting = at_once * _WAITING_PER_PICTURE
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

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
        self._free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            place = self._waiting.pop()
            if not place.done():
                self._free -= 1
                place.set_result(None)
