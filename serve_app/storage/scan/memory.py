"""The memory that files may take while they are read ahead."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Room:
    """So many bytes for all; who wants more than there is waits, and who wants more than all of it is alone.

    First come, first served: small files that come later do not keep a large one waiting.
    """

    def __init__(self, bytes_: int) -> None:
        self._all = self._free = bytes_
        self._turn = asyncio.Lock()
        self._given_back = asyncio.Event()

    @contextlib.asynccontextmanager
    async def taken(self, bytes_: int) -> AsyncIterator[None]:
        """Hold so many bytes for as long as the block."""
        wanted = min(bytes_, self._all)
        async with self._turn:
            while self._free < wanted:
                self._given_back.clear()
                await self._given_back.wait()
            self._free -= wanted
        try:
            yield
        finally:
            self._free += wanted
            self._given_back.set()
