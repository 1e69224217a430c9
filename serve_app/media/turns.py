"""Whose turn it is: things that are lent one at a time, to live callers before background ones."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from serve_app.domain import Lane

T = TypeVar("T")


class Turns(Generic[T]):
    """Lends what :meth:`put` gave it. The last one back is lent first, as its memory is the warmest."""

    def __init__(self) -> None:
        self._idle: list[T] = []
        self._waiting: dict[Lane, deque[asyncio.Future[T | None]]] = {lane: deque() for lane in Lane}
        self._is_closed = False

    def put(self, thing: T) -> None:
        """Lend ``thing`` to the next who waits, or keep it."""
        for waiting in self._waiting.values():
            while waiting:
                turn = waiting.popleft()
                if not turn.done():
                    turn.set_result(thing)
                    return
        self._idle.append(thing)

    async def get(self, lane: Lane) -> T | None:
        """The next that is free; None once this is closed."""
        if self._is_closed:
            return None
        if self._idle:
            return self._idle.pop()
        turn: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and (thing := turn.result()) is not None:
                self.put(thing)  # lent in the moment in which the caller went away
            raise

    def close(self) -> None:
        """Lend nothing any more; who waits learns it."""
        self._is_closed = True
        for waiting in self._waiting.values():
            for turn in waiting:
                if not turn.done():
                    turn.set_result(None)
            waiting.clear()
