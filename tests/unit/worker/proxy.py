"""A proxy as companies and homes have them: it passes on whatever follows a CONNECT, and sees nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

_CHUNK_BYTES = 64 * 1024


@dataclass
class Proxy:
    """Where it listens, and the head of each request that it got."""

    port: int
    heads: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def proxying() -> AsyncIterator[Proxy]:
    """On a port of its own, until the block ends."""
    tunnels = set[asyncio.Task[Any]]()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            tunnels.add(task)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        proxy.heads.append(head)
        _, authority, _ = head.split(" ", 2)
        host, port = authority.rsplit(":", 1)
        onward_reader, onward_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pass_on(reader, onward_writer), _pass_on(onward_reader, writer))

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()
        await asyncio.gather(*tunnels)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
