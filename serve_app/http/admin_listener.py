"""The listener of the admin API on a node: one of the node's processes has it, and another takes over if that one ends.

Every process has the same API over the same database, so that it does not matter which one answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator

from fastapi import FastAPI

from serve_app.http.server import serving
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

ANSWER_WITHIN_S = 300.0
"""For the longest request: the import of a list."""

DRAIN_S = 5.0
"""At the end: a process that waited for a slow reader of an export would be ended before its ledger is closed."""

_TRY_EVERY_S = 1.0


@contextlib.asynccontextmanager
async def admin_listening(app: FastAPI, host: str, port: int) -> AsyncIterator[None]:
    """``app`` is served on ``host`` and ``port`` for as long as the block, from when these are free."""
    stop = asyncio.Event()
    listening = asyncio.create_task(_listen(app, host, port, stop), name="admin-listener")
    try:
        yield
    finally:
        stop.set()
        await listening


async def _listen(app: FastAPI, host: str, port: int, stop: asyncio.Event) -> None:
    told = 0
    while not stop.is_set():
        try:
            listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            # A sibling has it, and is where to ask; everything else needs a person.
            if error.errno not in (told, errno.EADDRINUSE):
                text = f"the admin API cannot listen on {host} port {port}: {error.strerror}"
                logger.error("admin_not_listening", text, host=host, port=port, why=error.strerror)
                told = error.errno or 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TRY_EVERY_S):
                    await stop.wait()
            continue
        logger.info("admin_listening", f"the admin API listens on {host} port {port}", host=host, port=port)
        ended = asyncio.Event()
        async with serving(app, ANSWER_WITHIN_S, [listener], ended, DRAIN_S):
            waiting = [asyncio.create_task(each.wait()) for each in (stop, ended)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in waiting:
                each.cancel()
