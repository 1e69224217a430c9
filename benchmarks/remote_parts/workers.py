"""Workers that speak frames and have no model of their own: what they answer, and after how long, is set.

Their scores are those of the fake engine, so that a picture is judged by what is in it. A front of theirs has the model
``fake``, or ``fake:…ms`` for views as large as those of a real one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from serve_app.domain import Lane
from serve_app.models.fake import FakeEngine
from serve_app.remote.frames import from_front, packed
from serve_app.remote.messages import (
    PROTOCOL,
    Accepted,
    Cancelled,
    FromFront,
    FromWorker,
    Hello,
    Offer,
    Ping,
    Pong,
    Refused,
    Scored,
    Wanted,
    Work,
)
from serve_app.wire import WORKER_PATH

VIEW_PX = 224
"""As ``fake:…ms`` has them."""

_MOST_VIEWS = 16
_ORDER: Final = {lane: place for place, lane in enumerate(Lane)}
_MAX_FRAME_BYTES = 256 * 448 * 448 * 3 + 1024 * 1024


class NotAcceptedError(Exception):
    """The front did not take the worker; the message is the front's."""


@dataclass
class Connection:
    """A connection to the front, from its first message on."""

    socket: aiohttp.ClientWebSocketResponse
    wanted: Wanted
    engines: list[FakeEngine] = field(default_factory=list)
    name: str = ""

    async def send(self, message: FromWorker) -> None:
        """Send one frame."""
        await self.socket.send_bytes(packed(message))

    async def received(self) -> FromFront | None:
        """The next message but pings, which are answered; None once the connection has ended."""
        while True:
            message = await self.socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return None
            read = from_front(message.data)
            if not isinstance(read, Ping):
                return read
            await self.send(Pong(read.number))

    def scored(self, work: Work, held_s: float = 0.0) -> Scored:
        """What the fake engine says of a work."""
        engine = self.engines[work.label_set]
        return Scored(work.number, engine.encode(work.pixels), engine.logit_scale, held_s)

    def hello(self, name: str, view_s: float) -> Hello:
        """What says that a view takes this worker so long, in a batch or not."""
        passes = {views: max(1e-4, views * view_s) for views in (1, 2, 4, 8, _MOST_VIEWS)}
        offers = tuple(Offer(each.identity, passes) for each in self.engines)
        return Hello(PROTOCOL, self.wanted.version, name, "none: a set speed", offers)


@contextlib.asynccontextmanager
async def connecting(url: str, secret: str, view_px: int = VIEW_PX) -> AsyncIterator[Connection]:
    """A connection whose front has said what it wants.

    Raises:
        NotAcceptedError: it said something else.
        aiohttp.WSServerHandshakeError: it refused the secret.
    """
    headers = {"authorization": f"Bearer {secret}"}
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(url + WORKER_PATH, headers=headers, max_msg_size=_MAX_FRAME_BYTES, compress=0) as socket,
    ):
        message = await socket.receive()
        wanted = from_front(message.data) if message.type is aiohttp.WSMsgType.BINARY else None
        if not isinstance(wanted, Wanted):
            raise NotAcceptedError(f"{wanted or message!r}")
        yield Connection(socket, wanted, [FakeEngine(labels, view_px) for labels in wanted.label_sets])


@contextlib.asynccontextmanager
async def accepted(
    url: str, secret: str, name: str, view_s: float = 0.0, view_px: int = VIEW_PX
) -> AsyncIterator[Connection]:
    """A connection of a worker that the front has taken.

    Raises:
        NotAcceptedError: it has not.
        aiohttp.WSServerHandshakeError: it refused the secret.
    """
    async with connecting(url, secret, view_px) as connection:
        await connection.send(connection.hello(name, view_s))
        answer = await connection.received()
        if not isinstance(answer, Accepted):
            raise NotAcceptedError(answer.message if isinstance(answer, Refused) else f"{answer!r}")
        connection.name = answer.worker
        yield connection


async def work_at(connection: Connection, view_s: float) -> int:
    """Answer everything as one device would, a view after ``view_s``, until the connection ends.

    Live pictures go before background ones, as with any worker. The time of a view is slept, so that many such workers
    fit on one core.

    Returns:
        works that were answered.
    """
    waiting: asyncio.PriorityQueue[tuple[int, int, float, Work | None]] = asyncio.PriorityQueue()
    cancelled: set[int] = set()
    answered = 0
    clock = asyncio.get_running_loop().time

    async def compute() -> None:
        nonlocal answered
        free_s = 0.0
        while True:
            _, _, came_s, work = await waiting.get()
            if work is None:
                return
            if work.number in cancelled:
                continue
            views = len(work.pixels) + len(work.faces)
            free_s = max(free_s, came_s) + views * view_s
            await asyncio.sleep(free_s - clock())
            with contextlib.suppress(ConnectionError):
                await connection.send(connection.scored(work, clock() - came_s))
                answered += 1

    async def receive() -> None:
        while (message := await connection.received()) is not None:
            if isinstance(message, Work):
                waiting.put_nowait((_ORDER[message.lane], message.number, clock(), message))
            elif isinstance(message, Cancelled):
                cancelled.add(message.number)
        waiting.put_nowait((len(_ORDER), 0, 0.0, None))

    await asyncio.gather(compute(), receive())
    return answered
