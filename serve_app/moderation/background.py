"""Room for background work, so that what can be done later does not fill the places in which uploads wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from serve_app.domain import OverloadedError

# For each picture that is looked at, so many may wait for their turn: a client with a few connections finds its next
# picture there, and one with hundreds cannot take the ingress's requests from live uploads.
_WAITING_PER_PICTURE = 4


class BackgroundGate:
    """Lets so many background pictures through at once; live ones do not pass here."""

    def __init__(self, at_once: int) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._max_waiting = at_once * _WAITING_PER_PICTURE
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def through(self) -> AsyncIterator[None]:
        """Wait for a turn; it ends with the block.

        Raises:
            OverloadedError: at once, where too many wait already.
        """
        if self._turns.locked() and self._waiting >= self._max_waiting:
            raise OverloadedError(f"{self._waiting} pictures wait in the background")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()
