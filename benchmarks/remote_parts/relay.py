"""A network between a front and its workers: TCP with the delay, the rate and the faults that are wanted.

It forwards bytes and knows nothing of what they mean. Each way has its own delay and rate, as a home link has; what is
on the way is bounded, as a router's buffer is, so that a sender that is too fast is held up.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import Enum

_READ_BYTES = 16 * 1024
_SOCKET_BYTES = 64 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)

Then = Callable[[], None]


class Way(Enum):
    """From whom to whom."""

    TO_FRONT = "to the front"
    TO_WORKER = "to the worker"


@dataclass(frozen=True, slots=True)
class Link:
    """One way of a link.

    Attributes:
        delay_s: that every byte takes.
        bytes_per_s: at most; None has no bound.
        buffer_bytes: on the way at most.
    """

    delay_s: float = 0.0
    bytes_per_s: float | None = None
    buffer_bytes: int = 512 * 1024


@dataclass
class _Waiting:
    """To be told once so many more bytes have gone one way."""

    left_bytes: int
    then: Then


@dataclass
class _OneWay:
    """What holds for all connections in one direction."""

    link: Link
    is_flowing: asyncio.Event = field(default_factory=asyncio.Event)
    is_swallowed: bool = False
    passed_bytes: int = 0
    waiting: list[_Waiting] = field(default_factory=list)


class Relay:
    """Listens on a port of its own on the loopback, and connects to the front for each connection to it.

    For one event loop. Faults hold for all connections, and for those that come, until :meth:`heal`.
    """

    def __init__(self, front_port: int, link: Link, host: str = "127.0.0.1") -> None:
        """``link`` is that of each way; :meth:`set_link` sets another one."""
        self._front = (host, front_port)
        self._ways = {way: _OneWay(link) for way in Way}
        self._server: asyncio.Server | None = None
        self._port = 0
        self._pairs: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self.accepted = 0
        """Connections so far."""
        self.heal()

    @property
    def url(self) -> str:
        """What a worker connects to."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        """Those that are open."""
        return len(self._pairs)

    def passed_bytes(self, way: Way) -> int:
        """Bytes that were handed on."""
        return self._ways[way].passed_bytes

    def set_link(self, way: Way, link: Link) -> None:
        """For what comes from now on."""
        self._ways[way].link = link

    def stall(self) -> None:
        """Hold everything back, and lose nothing: a link that stands still."""
        for each in self._ways.values():
            each.is_flowing.clear()

    def swallow(self) -> None:
        """Take everything and hand on nothing: a cable that is cut, which nobody is told of."""
        for each in self._ways.values():
            each.is_swallowed = True

    def heal(self) -> None:
        """Hand on what comes, and what was held back. What was swallowed is lost, and its connections with it."""
        swallowed = any(each.is_swallowed for each in self._ways.values())
        for each in self._ways.values():
            each.is_swallowed = False
            each.is_flowing.set()
        if swallowed:
            self.reset()

    def reset(self) -> None:
        """End all connections at once, as a router that has forgotten them does."""
        for writers in self._pairs.values():
            for writer in writers:
                raw: socket.socket | None = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    if raw is not None:
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                writer.transport.abort()

    def after(self, passed_bytes: int, way: Way, then: Then) -> None:
        """Have ``then`` called once so many more bytes have gone one way, in mid-frame or not."""
        self._ways[way].waiting.append(_Waiting(passed_bytes, then))

    async def close_port(self) -> None:
        """Refuse connections: nobody listens. Those that are open stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def open_port(self) -> None:
        """Accept connections, on the same port as before."""
        listener = _socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
        listener.bind(("127.0.0.1", self._port))
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._relay, sock=listener, limit=_READ_BYTES)

    async def close(self) -> None:
        """End it and all connections."""
        await self.close_port()
        self.heal()
        self.reset()
        pairs = list(self._pairs)
        for each in pairs:
            each.cancel()
        await asyncio.gather(*pairs, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler of asyncio's server runs in a task
        self._pairs[task] = (writer,)
        try:
            # asyncio's server takes a handler that was cancelled for one that failed.
            with contextlib.suppress(asyncio.CancelledError):
                await self._relay_both(task, reader, writer)
        except* OSError:
            pass
        finally:
            for each in self._pairs.pop(task):
                each.transport.abort()

    async def _relay_both(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        from_front, to_front = await self._connected()
        self._pairs[task] = (writer, to_front)
        async with asyncio.TaskGroup() as both:
            both.create_task(_forward(reader, to_front, self._ways[Way.TO_FRONT]))
            both.create_task(_forward(from_front, writer, self._ways[Way.TO_WORKER]))

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the front."""
        front = _socket()
        try:
            front.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
            front.setblocking(False)
            await asyncio.get_running_loop().sock_connect(front, self._front)
            return await asyncio.open_connection(sock=front, limit=_READ_BYTES)
        except BaseException:
            front.close()
            raise


@contextlib.asynccontextmanager
async def relaying(front_port: int, link: Link = Link()) -> AsyncIterator[Relay]:
    """A relay that accepts connections, until the block ends."""
    relay = Relay(front_port, link)
    await relay.open_port()
    try:
        yield relay
    finally:
        await relay.close()


def _socket() -> socket.socket:
    """One that asyncio knows as TCP, so that it has no small piece wait for an acknowledgement."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _OneWay) -> None:
    """Until the end of what comes, which is handed on too."""
    loop = asyncio.get_running_loop()
    on_the_way: deque[tuple[float, bytes]] = deque()
    changed = asyncio.Condition()
    held_bytes, is_over = 0, False

    async def take() -> None:
        nonlocal held_bytes, is_over
        left_s = 0.0
        while piece := await reader.read(_READ_BYTES):
            if way.is_swallowed:
                continue
            link = way.link
            left_s = max(loop.time(), left_s) + (len(piece) / link.bytes_per_s if link.bytes_per_s else 0.0)
            async with changed:
                on_the_way.append((left_s + link.delay_s, piece))
                held_bytes += len(piece)
                changed.notify_all()
                while held_bytes > link.buffer_bytes:
                    await changed.wait()
        async with changed:
            is_over = True
            changed.notify_all()

    async def give() -> None:
        nonlocal held_bytes
        while True:
            async with changed:
                while not (on_the_way or is_over):
                    await changed.wait()
                if not on_the_way:
                    break
                due_s, piece = on_the_way[0]
            await asyncio.sleep(due_s - loop.time())
            await _write(writer, piece, way)
            async with changed:
                on_the_way.popleft()
                held_bytes -= len(piece)
                changed.notify_all()
        if not way.is_swallowed and writer.can_write_eof():
            writer.write_eof()

    async with asyncio.TaskGroup() as both:
        both.create_task(take())
        both.create_task(give())


async def _write(writer: asyncio.StreamWriter, piece: bytes, way: _OneWay) -> None:
    """Hand a piece on, in parts where somebody is to be told within it."""
    while piece:
        await way.is_flowing.wait()
        if way.is_swallowed:
            return
        part_bytes = min(len(piece), *(each.left_bytes for each in way.waiting), len(piece))
        writer.write(piece[:part_bytes])
        await writer.drain()
        piece = piece[part_bytes:]
        way.passed_bytes += part_bytes
        for each in way.waiting:
            each.left_bytes -= part_bytes
        told = [each for each in way.waiting if each.left_bytes <= 0]
        way.waiting = [each for each in way.waiting if each.left_bytes > 0]
        for each in told:
            each.then()
