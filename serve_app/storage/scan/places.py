"""The places of files that are scanned at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

SMALL_BYTES: Final = 64 * 1024
"""The longest of the files that begin together: to scan one takes less than all that is done around it."""


class Places:
    """So many files are scanned at once; first come, first served. For one event loop.

    While all places are taken, small files wait until several are free, and begin together: decoding, what is known of
    them and their commits are then asked for in one go. A file that finds a place when it comes waits for no other.
    """

    def __init__(self, at_once: int, small_together: int = 1) -> None:
        """``small_together``: how many places have to be free before small files that wait may begin."""
        self._free = at_once
        self._small_together = min(small_together, at_once)
        self._waiting: deque[tuple[asyncio.Future[None], bool]] = deque()

    @contextlib.asynccontextmanager
    async def taken(self, size_bytes: int) -> AsyncIterator[None]:
        """A file of this size is scanned for as long as the block."""
        if self._free and not self._waiting:
            self._free -= 1
        else:
            await self._wait(is_small=size_bytes <= SMALL_BYTES)
        try:
            yield
        finally:
            self._give_back()

    async def _wait(self, *, is_small: bool) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, is_small))
        self._hand_out()
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._give_back()  # handed out in the moment in which the caller went away
            else:
                self._hand_out()  # the next one may need fewer places
            raise

    def _give_back(self) -> None:
        self._free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        are_enough = self._free >= self._small_together
        while self._free and self._waiting:
            place, is_small = self._waiting[0]
            if is_small and not are_enough and not place.done():
                return
            self._waiting.popleft()
            if not place.done():
                self._free -= 1
                place.set_result(None)
