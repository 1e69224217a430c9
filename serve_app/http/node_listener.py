"""A port that one process of a node has, and another takes over if that one ends.

Every process answers the same there, so that it does not matter which one it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.domain import in_words
from serve_app.http.listening_socket import listening_socket
from serve_app.http.server import serve_beside
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

_TRY_EVERY_S = 1.0

# By then a process that is being replaced has given the port back.
_ASK_AT_TRY = 10
_ASK_FOR_S = 2.0

_WHO_PATH = "/pictwarden-listener"


@dataclass(frozen=True, slots=True)
class Listener:
    """What listens, and where.

    ``name`` is for fields of log lines, and ``what`` for their texts. ``answer_within_s`` is for the longest request,
    and ``drain_s`` for all at the end. ``has_websockets`` if the application takes some.
    """

    name: str
    what: str
    host: str
    port: int
    answer_within_s: float
    drain_s: float
    has_websockets: bool = False


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
    host, port, told, tries_while_taken = wanted.host, wanted.port, 0, 0
    while not stop.is_set():
        try:
            listener = listening_socket(host, port)
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            tries_while_taken = tries_while_taken + 1 if is_taken else 0
            # A sibling has it, and is where to ask; everything else needs a person.
            is_siblings = is_taken and (tries_while_taken != _ASK_AT_TRY or await _is_siblings(wanted))
            if not is_siblings and error.errno != told:
                taken = f"another program has it: stop that, or set another {wanted.name}.port"
                _tell_not_listening(wanted, taken if is_taken else in_words(error))
                told = error.errno or 0
        else:
            told = tries_while_taken = 0
            text = f"{wanted.what}: listening on {host} port {port}"
            logger.info("listening", text, listener=wanted.name, host=host, port=port)
            with listener:
                named = _Named(app, wanted.name)
                await serve_beside(
                    *(wanted.name, named, wanted.answer_within_s, [listener], stop, wanted.drain_s),
                    has_websockets=wanted.has_websockets,
                )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TRY_EVERY_S):
                await stop.wait()


def _tell_not_listening(wanted: Listener, why: str) -> None:
    host, port = wanted.host, wanted.port
    text = f"{wanted.what} cannot listen on {host} port {port}: {why}"
    logger.error("not_listening", text, listener=wanted.name, host=host, port=port, why=why)


class _Named:
    """ASGI middleware: whoever asks is told whose port this is, which needs no secret."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app = app
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_asked = scope["type"] == "http" and scope["path"] == _WHO_PATH
        app = PlainTextResponse(_told_by(self._name)) if is_asked else self._app
        await app(scope, receive, send)


def _told_by(name: str) -> str:
    # Not in the request: a program that shows what it was asked for is no sibling.
    return f"a {name} listener of Pictwarden\n"


async def _is_siblings(wanted: Listener) -> bool:
    """Whether a process of ours answers on the port, with the same application."""
    request = f"GET {_WHO_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(_ASK_FOR_S):
            reader, writer = await asyncio.open_connection(wanted.host, wanted.port)
            with contextlib.closing(writer):
                writer.write(request.encode())
                await reader.readuntil(_told_by(wanted.name).encode())
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False
    return True
