"""One call that several callers wait for, each until its own deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class AbandonedError(Exception):
    """The call was abandoned before it ended; its callers may make another one."""


class SharedCall(Generic[T]):
    """Runs ``work`` in a task of its own, which is abandoned when its last caller goes away.

    A caller that goes away takes neither the work nor the remaining time from the others.
    """

    def __init__(self, work: Coroutine[Any, Any, T], on_end: Callable[[], None] = lambda: None) -> None:
        """``on_end`` is called once the work has ended in any way."""
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(lambda _: on_end())
        self._callers = 0

    @property
    def is_running(self) -> bool:
        """Whether another caller can still wait for it."""
        return not self._task.done() and not self._task.cancelling()

    def abandon(self) -> None:
        """End the work; its callers get an :class:`AbandonedError`."""
        self._task.cancel()

    async def result(self) -> T:
        """The result of the work.

        Raises:
            AbandonedError: the work was abandoned.
            Exception: the error of the work; each caller gets the same object.
        """
        self._callers += 1
        try:
            await asyncio.wait({self._task})
        finally:
            self._callers -= 1
            if not self._callers:
                self.abandon()  # does nothing once the work has ended
        if self._task.cancelled():
            raise AbandonedError
        return self._task.result()
