"""Senders that leave before the answer: the work for them is cancelled.

Ray Serve can do this itself, but then it reads whole bodies into memory ahead of the application, without a limit:
``deployments/haproxy/rules.py`` switches that off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


async def unless_sender_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``, and cancel it when the sender leaves. The body must have been read.

    Raises:
        ClientDisconnect: the sender has left.
    """
    loop = asyncio.get_running_loop()
    working = loop.create_task(work)
    leaving = loop.create_task(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            # The memory of the work counts as free once this returns.
            await asyncio.wait({working})
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    """Return when the sender has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
