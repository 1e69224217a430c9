"""Work that one of several programs does: whichever holds the lease."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from serve_app.domain import WorkLease

RENEWED_EVERY_S: Final = 4.0
"""A lease holds for 25 s, so that another program works within 30 s of its holder's death."""

_ANSWER_WITHIN_S: Final = 10.0
"""Seconds until a database that does not answer counts as one that refuses: the lease still holds then."""


async def work_while_held(
    lease: WorkLease,
    work: Callable[[], Coroutine[Any, Any, None]],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Run ``work`` for as long as ``lease`` is held, and again each time that it is; until this is cancelled.

    ``work`` is cancelled as soon as the lease is not renewed.
    """
    working: asyncio.Task[None] | None = None
    try:
        while True:
            if not await _is_held(lease):
                await _end(working)
                working = None
            elif working is None or working.done():
                working = asyncio.create_task(work())
            await sleep(RENEWED_EVERY_S)
    finally:
        await _end(working)
        # Otherwise it runs out by itself.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await lease.release()


async def _is_held(lease: WorkLease) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            return await lease.hold()
    except Exception:
        # The ledger says what is wrong with the database.
        return False


async def _end(working: asyncio.Task[None] | None) -> None:
    if working is not None:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
