"""The memory that files may take while they are read ahead."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Room:
    """So many bytes for all; who wants more than there is waits, and who wants more than all of it is alone."""

    def __init__(self, bytes_: int) -> None:
        self._all = self._free = bytes_
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def taken(self, bytes_: int) -> AsyncIterator[None]:
        """Hold so many bytes for as long as the block."""
        wanted = min(bytes_, self._all)
        async with self._changed:
            await self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            yield
        finally:
            async with self._changed:
                self._free += wanted
                self._changed.notify_all()
