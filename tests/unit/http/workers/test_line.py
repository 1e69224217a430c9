"""The outbox of a worker's connection: what waits in it, what is taken back, and when it is given up."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from starlette.websockets import WebSocket

from serve_app.domain import Lane
from serve_app.http.workers.line import MOST_UNSENT_BYTES, WorkerLine
from serve_app.remote.frames import from_front
from serve_app.remote.messages import Cancelled, FromFront, Ping, Refusal, Refused, Work

NO_FACES = np.empty((0, 64, 64, 3), np.uint8)


def work(number: int, size_px: int = 8) -> Work:
    return Work(number, 0, 8.0, Lane.LIVE, np.zeros((1, size_px, size_px, 3), np.uint8), NO_FACES)


class Network:
    """What a WebSocket is given, once it may take something."""

    def __init__(self) -> None:
        self.taken: list[FromFront] = []
        self.may_take = asyncio.Event()
        self.in_transport = 0
        self.fails: type[Exception] | None = None
        self._arrived: asyncio.Queue[FromFront] = asyncio.Queue()
        state: dict[str, Any] = {"unwritten_bytes": lambda: self.in_transport}
        self.websocket = WebSocket({"type": "websocket", "state": state, "headers": []}, self._receive, self._send)

    async def take(self, count: int) -> None:
        for _ in range(count):
            self.taken.append(await self._arrived.get())

    async def accepted(self) -> WebSocket:
        await self.websocket.accept()
        return self.websocket

    async def _receive(self) -> Any:
        return {"type": "websocket.connect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            await self.may_take.wait()
            if self.fails is not None:
                raise self.fails
            self._arrived.put_nowait(from_front(message["bytes"]))


def numbers(messages: list[FromFront]) -> list[tuple[str, int]]:
    return [(type(each).__name__, getattr(each, "number", 0)) for each in messages]


async def test_messages_go_in_their_order_and_count_until_they_are_written() -> None:
    network = Network()
    line = WorkerLine(await network.accepted())
    line.send(work(1))
    line.send(Ping(1))
    line.send(work(2))
    network.in_transport = 1000
    assert line.unsent_bytes == 2 * 8 * 8 * 3 + 1000
    line.close()
    assert line.unsent_bytes == 1000
    line = WorkerLine(network.websocket)
    for each in (work(1), Ping(1), work(2)):
        line.send(each)
    network.may_take.set()
    writing = asyncio.create_task(line.write())
    await network.take(3)
    line.close(Refused(Refusal.STOPPING, "enough"))
    line.send(Ping(2))
    assert await writing == "the front closed the connection"
    await network.take(1)
    assert numbers(network.taken) == [("Work", 1), ("Ping", 1), ("Work", 2), ("Refused", 0)]


async def test_cancelled_work_that_is_not_on_its_way_is_taken_back() -> None:
    network = Network()
    line = WorkerLine(await network.accepted())
    writing = asyncio.create_task(line.write())
    for number in (1, 2, 3):
        line.send(work(number))
    await asyncio.sleep(0)
    line.send(Cancelled(1))  # the first one is being written
    line.send(Cancelled(2))
    assert line.unsent_bytes == 8 * 8 * 3
    network.may_take.set()
    await network.take(3)
    line.close()
    await writing
    assert numbers(network.taken) == [("Work", 1), ("Work", 3), ("Cancelled", 1)]


async def test_a_worker_that_reads_nothing_is_given_up() -> None:
    network = Network()
    line = WorkerLine(await network.accepted(), stalled_after_s=0.01)
    line.send(work(1))
    assert await line.write() == "the worker has read nothing for 0 s"


async def test_more_than_a_link_carries_in_time_is_not_held() -> None:
    network = Network()
    line = WorkerLine(await network.accepted())
    large = work(1, 2048)
    for _ in range(MOST_UNSENT_BYTES // large.pixels.nbytes + 1):
        line.send(large)
    assert (await line.write()).startswith("the worker does not read")
    assert network.taken == []


@pytest.mark.parametrize("error", [OSError, ConnectionResetError])
async def test_a_lost_connection_ends_the_writing(error: type[Exception]) -> None:
    network = Network()
    network.fails = error
    network.may_take.set()
    line = WorkerLine(await network.accepted())
    line.send(Ping(1))
    assert await line.write() == "the connection was lost"
