"""The HTTP server of the one process: uvicorn, that answers what is inside before it ends, and obeys no environment."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import resource
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from serve_app.domain import in_words
from serve_app.http.body_before_answer import BodyBeforeAnswer
from serve_app.http.connection import KEEP_ALIVE_S, Connection, ConnectionLimits, Connections
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

# pict-rs opens a connection for each upload that runs at once.
_MOST_CONNECTIONS = 4096

# That wait to be accepted, and so the most that are accepted between two requests.
_BACKLOG = 1024

# Beyond the deadline: an answer comes up to 0.5 s after it, and has a way to go.
_ANSWER_MARGIN_S = 1.0


class _Server(uvicorn.Server):
    """Leaves the signals to the caller."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    deadline_s: float,
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    drain_s: float | None = None,
    *,
    has_websockets: bool = False,
) -> AsyncIterator[None]:
    """HTTP is answered for as long as the block; at its end, no request is taken, and those inside are answered.

    Args:
        app: answers.
        deadline_s: of a request.
        sockets: that listen.
        stop: is set when the end begins, whatever its cause: no request is taken from then on. So servers with the same
            ``stop`` end at one time, and not one after the other.
        drain_s: what is inside has this long to be answered at the end; by default, as long as ever.
        has_websockets: whether ``app`` takes them.
    """
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    answer_s = deadline_s + _ANSWER_MARGIN_S
    drain_s = answer_s if drain_s is None else drain_s
    # Half of the files for connections. asyncio accepts a whole backlog at a time, and three times before the first of
    # those that are too many is closed: the rest is for them and for everything else.
    connections = Connections(ConnectionLimits(deadline_s, answer_s, min(_MOST_CONNECTIONS, open_files // 2)))
    backlog = min(_BACKLOG, max(1, open_files // 16))
    patient_app = BodyBeforeAnswer(app, deadline_s)
    server = _Server(_config(patient_app, connections, backlog, math.ceil(drain_s), has_websockets=has_websockets))
    running = asyncio.create_task(server.serve(list(sockets)), name="http-server")
    running.add_done_callback(lambda _: stop.set())

    async def drain() -> None:
        await stop.wait()
        connections.drain(drain_s)
        server.should_exit = True

    draining = asyncio.create_task(drain(), name="http-drain")
    try:
        yield
    finally:
        stop.set()
        await draining
        await running


async def serve_beside(
    name: str,
    app: ASGIApp,
    answer_within_s: float,
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    drain_s: float,
    *,
    has_websockets: bool = False,
) -> None:
    """Serve until ``stop``, beside what the process is there for: nothing else ends with this server, whatever ends it.

    Args:
        name: of the server in the log, which tells if it ended by itself.
        app: answers.
        answer_within_s: of the longest request.
        sockets: that listen.
        stop: ends it, and is not set here.
        drain_s: what is inside has this long to be answered at the end.
        has_websockets: whether ``app`` takes them.
    """
    ended = asyncio.Event()
    try:
        async with serving(app, answer_within_s, sockets, ended, drain_s, has_websockets=has_websockets):
            waiting = [asyncio.create_task(each.wait()) for each in (stop, ended)]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waiting:
                    each.cancel()
    except Exception as error:
        why = in_words(error)
        logger.exception("listener_ended", f"the {name} server has ended: {why}", listener=name, why=why)
    else:
        if not stop.is_set():
            logger.error("listener_ended", f"the {name} server has ended by itself", listener=name, why="unknown")


@contextlib.asynccontextmanager
async def serving_beside(
    name: str,
    app: ASGIApp,
    answer_within_s: float,
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    drain_s: float,
    *,
    has_websockets: bool = False,
) -> AsyncIterator[None]:
    """As :func:`serve_beside`, for as long as the block; ``stop`` is set at its end, and may be set before."""
    beside = serve_beside(name, app, answer_within_s, sockets, stop, drain_s, has_websockets=has_websockets)
    running = asyncio.create_task(beside, name=f"{name}-server")
    try:
        yield
    finally:
        stop.set()
        await running


def _config(
    app: ASGIApp, connections: Connections, backlog: int, drain_s: int, *, has_websockets: bool
) -> uvicorn.Config:
    websockets: dict[str, Any] = {"ws": "none"}
    if has_websockets:
        from serve_app.http.workers.websocket import OPTIONS  # most services have no use for the library

        websockets = OPTIONS
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", functools.partial(Connection, connections)),
        **websockets,
        lifespan="off",
        log_config=None,
        log_level="error",  # strangers are not to fill the log with requests that are none
        access_log=False,  # the path holds the secret
        server_header=False,
        proxy_headers=False,  # an address that a header tells is nobody's
        backlog=backlog,
        workers=1,  # and not what the environment says
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=drain_s,
    )
