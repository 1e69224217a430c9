"""A port that one process of a node has, and another takes over if that one ends.

Every process answers the same there, so that it does not matter which one it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.types import ASGIApp

from serve_app.http.server import serving
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

_TRY_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Listener:
    """What listens, and where.

    ``name`` is for fields of log lines, and ``what`` for their texts. ``answer_within_s`` is for the longest request,
    and ``drain_s`` for all at the end.
    """

    name: str
    what: str
    host: str
    port: int
    answer_within_s: float
    drain_s: float


@contextlib.asynccontextmanager
async def node_listening(app: ASGIApp, listener: Listener) -> AsyncIterator[None]:
    """``app`` is served for as long as the block, from when the port is free."""
    stop = asyncio.Event()
    listening = asyncio.create_task(_listen(app, listener, stop), name=f"{listener.name}-listener")
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
                text = f"{wanted.what} cannot listen on {host} port {port}: {error.strerror}"
                why = error.strerror
                logger.error("not_listening", text, listener=wanted.name, host=host, port=port, why=why)
                told = error.errno or 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TRY_EVERY_S):
                    await stop.wait()
            continue
        text = f"{wanted.what}: listening on {host} port {port}"
        logger.info("listening", text, listener=wanted.name, host=host, port=port)
        ended = asyncio.Event()
        async with serving(app, wanted.answer_within_s, [listener], ended, wanted.drain_s):
            waiting = [asyncio.create_task(each.wait()) for each in (stop, ended)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in waiting:
                each.cancel()
