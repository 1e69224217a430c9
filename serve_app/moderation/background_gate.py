"""A gate for background work, so that it never fills the places in which uploads wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from serve_app.domain import OverloadedError

# Enough for the next pictures of a client with a few connections; a client with hundreds must not take the requests of
# live uploads.
_WAITING_PER_PICTURE = 4


class BackgroundGate:
    """Lets at most ``at_once`` background pictures through; live ones do not pass here."""

    def __init__(self, at_once: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._max_waiting = at_once * _WAITING_PER_PICTURE
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def through(self) -> AsyncIterator[None]:
        """Wait for a place; it is free again when the block ends.

        Raises:
            OverloadedError: too many wait already.
        """
        if self._places.locked() and self._waiting >= self._max_waiting:
            raise OverloadedError(f"the background lane is full: {self._waiting} pictures are waiting")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()
