"""A queue of idle things, from which live callers are served before background ones."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from serve_app.domain import Lane

T = TypeVar("T")


class LaneQueue(Generic[T]):
    """Hands out what :meth:`put` gave it. The last one back goes out first, as its memory is the warmest."""

    def __init__(self) -> None:
        self._idle: list[T] = []
        self._waiting: dict[Lane, deque[asyncio.Future[T | None]]] = {lane: deque() for lane in Lane}
        self._is_closed = False

    def put(self, thing: T) -> None:
        """Hand ``thing`` to the next caller that waits, or store it."""
        for waiting in self._waiting.values():
            while waiting:
                waiter = waiting.popleft()
                if not waiter.done():
                    waiter.set_result(thing)
                    return
        self._idle.append(thing)

    async def get(self, lane: Lane) -> T | None:
        """The next that is free; None once this is closed."""
        if self._is_closed:
            return None
        if self._idle:
            return self._idle.pop()
        waiter: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and (thing := waiter.result()) is not None:
                self.put(thing)  # handed out in the moment in which the caller went away
            raise

    def close(self) -> None:
        """Hand out nothing any more; callers that wait learn it."""
        self._is_closed = True
        for waiting in self._waiting.values():
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)
            waiting.clear()
