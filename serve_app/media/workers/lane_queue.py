"""A queue of idle things, from which live callers are served before background ones."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from serve_app.concurrency.fair_queue import FairQueue
from serve_app.domain import Call, Lane

T = TypeVar("T")


class LaneQueue(Generic[T]):
    """Hands out what :meth:`put` gave it. The last one back goes out first, as its memory is the warmest.

    Sources whose pictures wait in the same lane take turns.
    """

    def __init__(self) -> None:
        self._idle: list[T] = []
        self._waiting: dict[Lane, FairQueue[asyncio.Future[T | None]]] = {lane: FairQueue() for lane in Lane}
        self._is_closed = False

    def put(self, thing: T) -> None:
        """Hand ``thing`` to the next caller that waits, or store it."""
        for waiting in self._waiting.values():
            while waiting:
                waiter = waiting.pop()
                if not waiter.done():
                    waiter.set_result(thing)
                    return
        self._idle.append(thing)

    async def get(self, call: Call) -> T | None:
        """The next that is free; None once this is closed."""
        if self._is_closed:
            return None
        if self._idle:
            return self._idle.pop()
        waiter: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiting[call.lane].put(waiter, call.source, call.share)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiting[call.lane].remove(waiter, call.source)
            elif (thing := waiter.result()) is not None:
                self.put(thing)  # handed out in the moment in which the caller went away
            raise

    def close(self) -> None:
        """Hand out nothing any more; callers that wait learn it."""
        self._is_closed = True
        for waiting in self._waiting.values():
            for waiter in waiting.clear():
                if not waiter.done():
                    waiter.set_result(None)
