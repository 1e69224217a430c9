"""A stand-in for a validation endpoint, and pictures that cost nothing to draw."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from benchmarks import bodies, load

SCAN_PATH = "/api/v1/scan/secret-of-the-tests"

Respond = Callable[[bytes, bytes], bytes]
"""Head and body of a request to the bytes that are answered; none at all ends the connection."""


def http(status: int, body: bytes, *headers: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever".encode(), f"Content-Length: {len(body)}".encode(), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def accepting() -> Respond:
    """As Pictwarden accepts."""
    names = count()

    def respond(head: bytes, _: bytes) -> bytes:
        if head.startswith(b"GET /readyz "):
            return http(200, json.dumps({"reason": "ready", "model": "fake@"}).encode())
        answer = {"verdict": "accept", "reason": "policy", "request_id": f"r{next(names)}", "elapsed_ms": 1.5}
        return http(200, json.dumps(answer).encode())

    return respond


class StandIn:
    """A server on the loopback, in a thread and on a loop of its own, as a service is."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24))
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{SCAN_PATH}"

    def close(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = b""
                while b"chunked" in head and (size := int(await reader.readline(), 16)):
                    body += (await reader.readexactly(size + 2))[:-2]
                if b"chunked" in head:
                    await reader.readline()
                self.heads.append(head)
                self.bodies.append(body)
                answer = self._respond(head, body)
                writer.write(answer)
                if not answer or b"Connection: close" in answer or b"Content-Length" not in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@pytest.fixture
def stand_in() -> Iterator[Callable[[Respond], StandIn]]:
    """What starts a stand-in that answers so."""
    started: list[StandIn] = []

    def start(respond: Respond) -> StandIn:
        started.append(StandIn(respond))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def cheap_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that are no pictures: the stand-in does not look."""
    monkeypatch.setattr(bodies, "photo_like_jpeg", lambda *_: b"no picture")


@pytest.fixture
def two_arrivals(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each open loop, whatever rate a busy machine has measured: by chance, none might come in so short a time."""
    monkeypatch.setattr(load, "poisson_arrivals_s", lambda _rate, duration_s, _seed: [0.0, duration_s / 2])
