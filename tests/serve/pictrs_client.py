"""A client that speaks as pict-rs 0.5.25 does, over raw sockets: one pooled connection, chunks of 8192, no length."""

import asyncio
import contextlib
import json
import select
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from .conftest import SECRET

CHUNK_BYTES = 8192

# Longer than any answer may take: what has not come by then never would.
GIVE_UP_S = 30.0

# The deadline of a configuration that names none, and half a second.
LONGEST_S = 8.5


@dataclass(frozen=True)
class Outcome:
    """What became of one body: an answer, or none because the connection was refused or closed."""

    status: int | None
    elapsed_s: float
    headers: dict[str, str]
    body: bytes
    is_sent_whole: bool

    @property
    def is_kept(self):
        """pict-rs keeps a picture on any 2xx, and on nothing else."""
        return self.status is not None and 200 <= self.status < 300


class PictrsClient:
    """Sends one body after another, on one connection for as long as the other side leaves it open."""

    def __init__(self, url, keeps_connection=True):
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path
        self._keeps_connection = keeps_connection
        self._streams = None
        self.connections = 0

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self._drop()

    async def post(self, body, cut_after=None):
        """Validate ``body`` as pict-rs does; with ``cut_after``, break the connection off after so many bytes."""
        started_s = time.monotonic()
        self._is_sent_whole = False
        status, headers, answer = None, {}, b""
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(GIVE_UP_S):
                reader, writer = await self._connection()
                sending = asyncio.create_task(self._send(writer, body, cut_after))
                try:
                    status, headers, answer = await _answer(reader)
                    if not sending.done():  # answered before the end: such a connection cannot be used again
                        headers["connection"] = "close"
                finally:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
        if status is None or not self._keeps_connection or headers.get("connection", "").lower() == "close":
            self._drop()
        return Outcome(status, time.monotonic() - started_s, headers, answer, self._is_sent_whole)

    async def _connection(self):
        if not self._is_open():
            self._drop()
            self._streams = await asyncio.open_connection(self._host, self._port)
            self.connections += 1
        return self._streams

    def _is_open(self):
        """Asked of the kernel: an event loop that was held up has not heard of the end yet."""
        if self._streams is None or self._streams[1].is_closing():
            return False
        end = select.poll()
        end.register(self._streams[1].get_extra_info("socket"), select.POLLRDHUP)
        return not end.poll(0)

    async def _send(self, writer, body, cut_after):
        head = f"POST {self._path} HTTP/1.1\r\ntransfer-encoding: chunked\r\naccept: */*\r\n"
        head += "content-type: image/png\r\n"
        writer.write(f"{head}host: {self._host}:{self._port}\r\nuser-agent: pict-rs 0.5.25\r\n\r\n".encode())
        sent = body if cut_after is None else body[:cut_after]
        for start in range(0, len(sent), CHUNK_BYTES):
            chunk = sent[start : start + CHUNK_BYTES]
            writer.write(f"{len(chunk):X}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
        if cut_after is not None:
            writer.close()
            return
        writer.write(b"0\r\n\r\n")
        self._is_sent_whole = True
        await writer.drain()

    def _drop(self):
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def send_as_pictrs(client, body, **options):
    """The outcome of ``body``, which has the form and comes within the time that every outcome has."""
    outcome = await client.post(body, **options)
    assert outcome.elapsed_s < LONGEST_S, outcome
    assert SECRET.encode() not in outcome.body
    if outcome.status is not None:
        assert outcome.headers["content-type"] == "application/json"
        assert json.loads(outcome.body)["request_id"]
    if outcome.status == 503:
        assert int(outcome.headers["retry-after"]) > 0
    return outcome


async def _answer(reader):
    """Status, headers and body. Ours have a length."""
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    return status, headers, await reader.readexactly(int(headers["content-length"]))
