"""One call that several callers wait for, each for as long as it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class AbandonedError(Exception):
    """The call was abandoned before it ended; whoever waits for it may make another one."""


class SharedCall(Generic[T]):
    """Runs ``work`` in a task of its own, which is abandoned when the last caller that waits for it goes away.

    A caller that goes away takes nothing from the others: neither the work nor the time that they have left.
    """

    def __init__(self, work: Coroutine[Any, Any, T], on_end: Callable[[], None] = lambda: None) -> None:
        """``on_end`` is called once the work has ended, however it did."""
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(lambda _: on_end())
        self._callers = 0

    @property
    def is_running(self) -> bool:
        """Whether a caller that comes now can wait for it."""
        return not self._task.done() and not self._task.cancelling()

    def abandon(self) -> None:
        """End the work; whoever waits for it is told by an :class:`AbandonedError`."""
        self._task.cancel()

    async def result(self) -> T:
        """What the work returns.

        Raises:
            AbandonedError: the work was ended from outside.
            Exception: what the work raises; the same object for each caller.
        """
        self._callers += 1
        try:
            await asyncio.wait({self._task})
        finally:
            self._callers -= 1
            if not self._callers:
                self.abandon()  # does nothing where the work has ended
        if self._task.cancelled():
            raise AbandonedError
        return self._task.result()
