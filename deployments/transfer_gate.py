"""A limit on the bytes of bodies that are being sent to other replicas.

During a Serve call its arguments are in the caller's memory three times: as objects, pickled, and as a gRPC message
(``docs/adr/0010``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from serve_app.concurrency.fair_queue import FairQueue
from serve_app.domain import Call, Lane

_Entry = tuple[int, asyncio.Future[None]]
"""The bytes of a body, and its admission."""


class TransferGate:
    """Lets ``max_bytes`` through at once, live bodies before background ones, and otherwise in order of arrival.

    Sources whose bodies wait in the same lane take turns. A larger body is let through alone. For one event loop.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._travelling_bytes = 0
        self._waiting: dict[Lane, FairQueue[_Entry]] = {lane: FairQueue() for lane in Lane}

    @contextlib.asynccontextmanager
    async def through(self, size_bytes: int, call: Call) -> AsyncIterator[None]:
        """Wait until a body of ``size_bytes`` may be sent; it counts until the block ends."""
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size_bytes, admitted)
        self._waiting[call.lane].put(entry, call.source, call.share)
        self._let_through()
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.cancelled():
                self._waiting[call.lane].remove(entry, call.source)
                self._let_through()
            else:
                self._arrive(size_bytes)  # let through just when the caller went away
            raise
        try:
            yield
        finally:
            self._arrive(size_bytes)

    def _arrive(self, size_bytes: int) -> None:
        self._travelling_bytes -= size_bytes
        self._let_through()

    def _let_through(self) -> None:
        for waiting in self._waiting.values():
            while (entry := waiting.head) is not None:
                size_bytes, admitted = entry
                if admitted.cancelled():
                    return  # its caller removes it, and comes back here
                if self._travelling_bytes and self._travelling_bytes + size_bytes > self._max_bytes:
                    return
                waiting.pop()
                self._travelling_bytes += size_bytes
                admitted.set_result(None)
