"""A front's listener over a fleet, and workers of the test that speak its frames over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TypeVar

import aiohttp
import numpy as np

from serve_app.domain import Call, Deadline, LabelScores, ModelIdentity, NotScannedError, ViewPlace, Views
from serve_app.http.guard import Guard
from serve_app.http.server import serving
from serve_app.http.workers.connection import ConnectionTimes
from serve_app.http.workers.door import WorkerDoor, worker_app
from serve_app.remote.fleet import Fleet, Member
from serve_app.remote.frames import from_front, packed
from serve_app.remote.messages import (
    PROTOCOL,
    Accepted,
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
from serve_app.remote.requirements import Requirement
from serve_app.wire import WORKER_PATH

PATIENT_S = 60.0
SECRET = "the-secret-of-alice's-desktop"
SETS = (("a red view", "a green view"),)
WANTED = Wanted(PROTOCOL, "0.2.0", "embedded:demo-shapes", SETS, 8.0)
MODEL = ModelIdentity("demo-shapes", "ab" * 32, 8)
HELLO = Hello(PROTOCOL, "0.2.0", "desktop", "a GPU", (Offer(MODEL, {1: 0.01}),))
PIXELS = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
VIEWS = Views(PIXELS, (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)),) * 2, "image/png", 1, 1)

M = TypeVar("M")


def call(remaining_s: float = 8.0) -> Call:
    return Call("r-1", Deadline.after(remaining_s))


class TestWorker:
    """The other end of a connection. It answers pings while it waits for something else."""

    __test__ = False

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket

    async def send(self, message: FromWorker) -> None:
        await self.websocket.send_bytes(packed(message))

    async def receive(self, kind: type[M]) -> M:
        """The next message that is no ping, or the next ping if one is waited for."""
        while True:
            message = await self.next_message()
            if isinstance(message, Ping) and kind is not Ping:
                await self.send(Pong(message.number))
                continue
            assert isinstance(message, kind), message
            return message

    async def next_message(self) -> FromFront:
        async with asyncio.timeout(PATIENT_S):
            frame = await self.websocket.receive_bytes()
        return from_front(frame)

    async def join(self, hello: Hello = HELLO) -> Accepted:
        await self.receive(Wanted)
        await self.send(hello)
        return await self.receive(Accepted)

    async def refused(self) -> Refused:
        return await self.receive(Refused)

    async def score(self, values: float = 0.5) -> None:
        work = await self.receive(Work)
        rows = len(work.pixels) + len(work.faces)
        await self.send(Scored(work.number, np.full((rows, 2), values, np.float32), 100.0, 0.01))

    async def work(self) -> None:
        """Answer everything, each view by its colours, until the connection ends."""
        while True:
            work = await self.receive(Work)
            colours = work.pixels.mean(axis=(1, 2), dtype=np.float32)[:, :2] / 255
            await self.send(Scored(work.number, colours, 100.0, 0.01))

    async def close_code(self) -> int | None:
        """Once the front has closed."""
        async with asyncio.timeout(PATIENT_S):
            while not self.websocket.closed:
                await self.websocket.receive()
        return self.websocket.close_code


class Departures:
    """:class:`serve_app.remote.fleet.ports.FleetWatcher` for who waits for a worker to leave."""

    def __init__(self) -> None:
        self.has_left = asyncio.Event()

    def joined(self, member: Member) -> None:
        pass

    def left(self, member: Member, why: str) -> None:
        self.has_left.set()

    def scored(self, member: Member, label_set: int, views: Views, call: Call, scores: LabelScores) -> None:
        pass

    def handed_over(self, member: Member, call: Call, why: str) -> None:
        pass

    def failed(self, call: Call, error: NotScannedError) -> None:
        pass


@dataclass
class Listening:
    """A door, and its address."""

    door: WorkerDoor
    fleet: Fleet
    port: int
    session: aiohttp.ClientSession
    departures: Departures

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{WORKER_PATH}"

    @contextlib.asynccontextmanager
    async def worker(self, secret: str = SECRET) -> AsyncIterator[TestWorker]:
        headers = {"Authorization": f"Bearer {secret}"}
        async with self.session.ws_connect(self.url, headers=headers, max_msg_size=0) as websocket:
            yield TestWorker(websocket)

    async def without_members(self) -> None:
        """Until all have left."""
        async with asyncio.timeout(PATIENT_S):
            while self.fleet.members:
                self.departures.has_left.clear()
                await self.departures.has_left.wait()


@contextlib.asynccontextmanager
async def listening(
    guard: Guard | None = None,
    times: ConnectionTimes | None = None,
    require: Requirement = lambda hello: None,
    max_workers: int = 4,
    deadline_s: float = 8.0,
) -> AsyncIterator[Listening]:
    guard = guard or Guard(["a-secret-for-pict-rs"], worker_secrets={"alice": SECRET})
    fleet = Fleet(SETS, max_workers=max_workers)
    door = WorkerDoor(guard, fleet, WANTED, require, max_workers, times or ConnectionTimes())
    fleet.watchers.append(departures := Departures())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with (
            serving(worker_app(door), deadline_s, [listener], asyncio.Event(), 1.0, has_websockets=True),
            aiohttp.ClientSession() as session,
        ):
            yield Listening(door, fleet, listener.getsockname()[1], session, departures)


def named(name: str) -> Hello:
    return replace(HELLO, name=name)
