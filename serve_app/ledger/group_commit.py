"""Group commit: whatever waits while one transaction is being committed is committed together by the next one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

# In one transaction: enough for any load, and short enough to be written within what an answer may wait.
_MOST_AT_ONCE = 500

MOST_WAITING = 2000
"""Items that wait: more than any load brings within what an answer may wait. What takes no more of them hangs."""

_TICK_S = 1.0


class FullQueueError(Exception):
    """Too many items wait to be written."""


class GroupCommit(Generic[T]):
    """A thread that writes. :meth:`put` is for one event loop."""

    def __init__(
        self,
        write: Callable[[Sequence[T]], Sequence[Exception | None]],
        name: str,
        on_tick: Callable[[], bool] = lambda: False,
    ) -> None:
        """Start the thread.

        Args:
            write: for each item, why it was not written; None if it was. It must not raise.
            name: of the thread.
            on_tick: called in the thread after each write and about every second, and again at once where it returns
                True; it must not raise.
        """
        self._write = write
        self._on_tick = on_tick
        self._changed = threading.Condition()
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._is_closed = False
        # A daemon: a database that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def put(self, item: T) -> None:
        """Return once ``item`` is written. A caller that is cancelled leaves it to be written.

        Raises:
            FullQueueError: it will not be written, because too many wait.
            Exception: why ``write`` did not write it.
        """
        written = asyncio.get_running_loop().create_future()
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                raise FullQueueError(f"{MOST_WAITING} items wait to be written")
            self._waiting.append((item, written))
            self._changed.notify()
        await written

    def close(self, wait_s: float) -> None:
        """Write what waits, for at most ``wait_s``, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(wait_s)

    def _run(self) -> None:
        is_busy = False
        while True:
            with self._changed:
                if not self._waiting and not self._is_closed and not is_busy:
                    self._changed.wait(_TICK_S)
                batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
                if self._is_closed and not batch:
                    return
            if batch:
                results = self._write([item for item, _ in batch])
                _tell([(written, error) for (_, written), error in zip(batch, results, strict=True)])
            is_busy = self._on_tick()


def _tell(results: Sequence[tuple[asyncio.Future[None], Exception | None]]) -> None:
    def set_all() -> None:
        for future, error in results:
            if future.done():
                continue  # its caller has gone
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    with contextlib.suppress(RuntimeError):  # the loop has ended, and its callers with it
        results[0][0].get_loop().call_soon_threadsafe(set_all)
