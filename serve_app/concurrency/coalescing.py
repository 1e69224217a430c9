"""Coalescing: items that wait for a thread are done by it in one go; an item that comes alone waits for no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_Waiting = tuple[Item, asyncio.Future[Outcome]]


class Coalescer(Generic[Item, Outcome]):
    """Has threads do items, several in one go where several wait. For one event loop."""

    def __init__(
        self,
        threads: Executor | None,
        work: Callable[[Sequence[Item]], Sequence[Outcome | Exception]],
        at_once: int,
        most_items: int,
    ) -> None:
        """Start nothing yet.

        Args:
            threads: that do it; None for those of the event loop.
            work: one outcome for each item, in order; an exception fails that item alone. If it raises, all fail.
            at_once: how many threads.
            most_items: of one call of ``work``.
        """
        self._threads = threads
        self._work = work
        self._at_once = at_once
        self._most_items = most_items
        self._running = 0
        self._is_due = False
        self._waiting: list[_Waiting[Item, Outcome]] = []

    async def do(self, item: Item) -> Outcome:
        """The outcome of ``item``. A caller that goes away takes an item with it that no thread has begun.

        Raises:
            Exception: that of ``work``.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((item, future))
        if not self._is_due and self._running < self._at_once:
            # Items of the same iteration of the event loop belong together.
            self._is_due = True
            loop.call_soon(self._begin, loop)
        return await future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_due = False
        while self._running < self._at_once and self._waiting:
            some, self._waiting = self._waiting[: self._most_items], self._waiting[self._most_items :]
            if some := [(item, future) for item, future in some if not future.done()]:
                try:
                    done = loop.run_in_executor(self._threads, self._work, [item for item, _ in some])
                except RuntimeError as error:  # the threads are closed
                    _tell(some, [error] * len(some))
                    continue
                self._running += 1
                done.add_done_callback(partial(self._end, loop, some))

    def _end(
        self,
        loop: asyncio.AbstractEventLoop,
        some: Sequence[_Waiting[Item, Outcome]],
        done: asyncio.Future[Sequence[Outcome | Exception]],
    ) -> None:
        self._running -= 1
        if done.cancelled():
            for _, future in some:
                future.cancel()
        elif (error := done.exception()) is not None:
            _tell(some, [error] * len(some))
        else:
            _tell(some, done.result())
        self._begin(loop)


def _tell(some: Sequence[_Waiting[Item, Outcome]], outcomes: Sequence[Outcome | BaseException]) -> None:
    for (_, future), outcome in zip(some, outcomes, strict=True):
        if future.done():
            continue  # its caller has gone
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
