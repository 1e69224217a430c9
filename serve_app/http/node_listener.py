"""A port that one process of a node has, and another takes over if that one ends.

Every process answers the same there, so that it does not matter which one it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.types import ASGIApp

from serve_app.http.server import serving

logger = logging.getLogger(__name__)

_TRY_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Listener:
    """What listens, and where.

    ``what`` names it in log lines. ``answer_within_s`` is for the longest request, and ``drain_s`` for all at the end.
    """

    what: str
    host: str
    port: int
    answer_within_s: float
    drain_s: float


@contextlib.asynccontextmanager
async def node_listening(app: ASGIApp, listener: Listener) -> AsyncIterator[None]:
    """``app`` is served for as long as the block, from when the port is free."""
    stop = asyncio.Event()
    listening = asyncio.create_task(_listen(app, listener, stop), name=f"{listener.what}-listener")
    try:
        yield
    finally:
        stop.set()
        await listening


async def _listen(app: ASGIApp, wanted: Listener, stop: asyncio.Event) -> None:
    host, port, told = wanted.host, wanted.port, 0
    while not stop.is_set():
        try:
            listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            # A sibling has it, and is where to ask; everything else needs a person.
            if error.errno not in (told, errno.EADDRINUSE):
                logger.error("%s cannot listen on %s port %d: %s", wanted.what, host, port, error.strerror)
                told = error.errno or 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TRY_EVERY_S):
                    await stop.wait()
            continue
        logger.info("%s: listening on %s port %d", wanted.what, host, port)
        ended = asyncio.Event()
        async with serving(app, wanted.answer_within_s, [listener], ended, wanted.drain_s):
            waiting = [asyncio.create_task(each.wait()) for each in (stop, ended)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in waiting:
                each.cancel()
