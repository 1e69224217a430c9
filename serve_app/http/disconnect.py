"""Senders that leave before they are answered: what is done for them ends.

Ray Serve can watch for this itself, but then reads all of a body into memory ahead of the application, whatever its
length: ``deployments/haproxy/rules.py`` switches that off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


async def unless_sender_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns or raises; it is cancelled when the sender leaves. The body must have been read.

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
            # Its memory counts as free when this returns.
            await asyncio.wait({working})
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    """Returns when the sender has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
