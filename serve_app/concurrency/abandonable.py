"""Work in threads that nobody has to wait for: a download or a load cannot be interrupted, and is left behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def unless_cancelled(work: Callable[[], T], discard: Callable[[T], None]) -> T:
    """What ``work`` returns or raises, in a thread; once this is cancelled, ``discard`` has the result."""
    pending = begin(work)
    try:
        return await asyncio.wrap_future(pending)
    except asyncio.CancelledError:
        discard_late(pending, discard)
        raise


async def unless_stopped(
    stop: asyncio.Event, work: Callable[[], T], discard: Callable[[T], None] = lambda late: None
) -> T | None:
    """What ``work`` returns or raises, in a thread; None if ``stop`` comes first: ``discard`` then has the result."""
    pending = begin(work)
    done = asyncio.wrap_future(pending)
    stopping = asyncio.create_task(stop.wait())
    is_taken = False
    try:
        either: set[asyncio.Future[Any]] = {done, stopping}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        is_taken = done.done()
        return done.result() if is_taken else None
    finally:
        stopping.cancel()
        done.cancel()
        if not is_taken:
            discard_late(pending, discard)


def begin(work: Callable[[], T]) -> concurrent.futures.Future[T]:
    """Have ``work`` done in a thread.

    Nobody can interrupt a download, a load or a line to a terminal that stands still. So the thread is a daemon, and
    none of an executor's: a process waits for those before it ends.
    """
    pending: concurrent.futures.Future[T] = concurrent.futures.Future()
    pending.set_running_or_notify_cancel()  # so that whoever no longer waits for it does not cancel it

    def run() -> None:
        try:
            pending.set_result(work())
        except BaseException as error:
            pending.set_exception(error)

    threading.Thread(target=run, daemon=True, name="starting").start()
    return pending


def discard_late(pending: concurrent.futures.Future[T], discard: Callable[[T], None]) -> None:
    """Have ``discard`` called with what nobody waits for any more, once it is there."""

    def discard_result(ended: concurrent.futures.Future[T]) -> None:
        if ended.exception() is None:
            discard(ended.result())

    pending.add_done_callback(discard_result)
