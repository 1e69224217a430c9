"""An HTTP server that answers 200 and keeps the requests as they came over the wire, chunk by chunk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@dataclass(frozen=True)
class Recorded:
    """One request: its head as it came, the sizes of its chunks, its body, and which connection carried it."""

    line: str
    headers: tuple[str, ...]
    chunk_sizes: tuple[int, ...]
    body: bytes
    connection: int


@dataclass
class Recorder:
    """The requests so far, and where to send more."""

    url: str
    requests: list[Recorded] = field(default_factory=list)
    connections: list[asyncio.Task[None] | None] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read requests from one connection until the other side ends it."""
        self.connections.append(asyncio.current_task())
        connection = len(self.connections)
        with contextlib.suppress(EOFError), contextlib.closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *headers = head.decode().removesuffix("\r\n\r\n").split("\r\n")
                chunks = [chunk async for chunk in _chunks(reader)]
                sizes = tuple(map(len, chunks))
                self.requests.append(Recorded(line, tuple(headers), sizes, b"".join(chunks), connection))
                writer.write(_ANSWER)
                await writer.drain()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size_bytes := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size_bytes)
        await reader.readexactly(2)
    await reader.readexactly(2)


@contextlib.asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    """A recorder on a free port of the loopback."""
    recorder = Recorder(url="")
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1/scan/a-secret"
    try:
        yield recorder
    finally:
        server.close()
        # Their other sides are closed by now.
        await asyncio.gather(*filter(None, recorder.connections))
