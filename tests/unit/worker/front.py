"""A small front on loopback, for tests of the worker: it says what they say, and takes what is answered."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import aiohttp
import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from serve_app.domain import FACE_SIZE_PX, Lane
from serve_app.remote.frames import from_worker, packed
from serve_app.remote.messages import PROTOCOL, Accepted, FromFront, FromWorker, Hello, Wanted, Work
from serve_app.wire import WORKER_PATH

SECRET = "a-secret-of-a-worker"
NO_FACES: NDArray[np.uint8] = np.empty((0, FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8)
PATIENT_S = 60.0

MessageT = TypeVar("MessageT")


def wanted(model: str | None = "fake", *label_sets: tuple[str, ...], **changed: Any) -> Wanted:
    """What a front wants, by default of the engine without weights."""
    fields: dict[str, Any] = {"protocol": PROTOCOL, "version": "0.2.0", "deadline_s": 8.0} | changed
    return Wanted(model=model, label_sets=label_sets or (("red", "green"),), **fields)


def work(number: int, pixels: NDArray[np.uint8], label_set: int = 0, remaining_s: float = 8.0) -> Work:
    """The views of one picture."""
    return Work(number, label_set, remaining_s, Lane.LIVE, pixels, NO_FACES)


def views(count: int, size_px: int = 8) -> NDArray[np.uint8]:
    """Of noise, each another one."""
    return np.random.default_rng(count).integers(0, 256, (count, size_px, size_px, 3), np.uint8)


class Connection:
    """One worker, connected."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.closed = asyncio.Event()
        self._got: asyncio.Queue[FromWorker | None] = asyncio.Queue()

    async def send(self, *messages: FromFront) -> None:
        for message in messages:
            await self.socket.send_bytes(packed(message))

    async def next(self, kind: type[MessageT]) -> MessageT:
        """The worker's next message, which is of this kind."""
        async with asyncio.timeout(PATIENT_S):
            got = await self._got.get()
        assert isinstance(got, kind), got
        return got

    async def accept(self, wants: Wanted) -> Hello:
        await self.send(wants)
        hello = await self.next(Hello)
        await self.send(Accepted(f"owner/{hello.name}"))
        return hello

    async def read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self._got.put_nowait(from_worker(message.data))
        self._got.put_nowait(None)
        self.closed.set()


class Front:
    """Listens on a port of its own; ``answers`` is a status for every request, instead of a connection."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: int | None = None
        self.location = "https://elsewhere.example"
        self.requests = 0
        self._is_asked = asyncio.Event()
        self._connections: asyncio.Queue[Connection] = asyncio.Queue()

    async def connection(self) -> Connection:
        """The next worker's."""
        async with asyncio.timeout(PATIENT_S):
            return await self._connections.get()

    async def asked(self, count: int) -> None:
        """Until so many requests have come."""
        async with asyncio.timeout(PATIENT_S):
            while self.requests < count:
                self._is_asked.clear()
                await self._is_asked.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self._is_asked.set()
        if self.answers is not None:
            return web.Response(status=self.answers, headers={"Location": self.location})
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            return web.Response(status=401)
        socket = web.WebSocketResponse(max_msg_size=1024 * 1024)
        await socket.prepare(request)
        connection = Connection(socket)
        self._connections.put_nowait(connection)
        await connection.read()
        return socket

    @contextlib.asynccontextmanager
    async def listening(self, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get(WORKER_PATH, self.handle)
        app.router.add_get(f"/prefix{WORKER_PATH}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        root = "https://localhost" if tls else "http://127.0.0.1"
        self.url = f"{root}:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()
