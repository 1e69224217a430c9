"""What waits for the first worker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from serve_app.domain import NotScannedError
from serve_app.remote.fleet import Fleet

_TELL_AGAIN_S = 1.0


@contextlib.asynccontextmanager
async def once_there_are_workers(
    fleet: Fleet, tell: Callable[[], Awaitable[None]], stop: asyncio.Event
) -> AsyncIterator[None]:
    """For as long as the block, have ``tell`` called once there is a worker, and again where it had left by then.

    What else it raises sets ``stop``, and is raised at the end of the block.
    """

    async def wait_and_tell() -> None:
        while True:
            await fleet.wait_for_member()
            with contextlib.suppress(NotScannedError):
                await tell()
                return
            await asyncio.sleep(_TELL_AGAIN_S)  # it may be on trial

    telling = asyncio.create_task(wait_and_tell(), name="waiting for a worker")
    telling.add_done_callback(lambda ended: stop.set() if not ended.cancelled() and ended.exception() else None)
    try:
        yield
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
