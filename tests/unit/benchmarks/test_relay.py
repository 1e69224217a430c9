"""The relay: bytes arrive whole and in order, no sooner than the link allows, and each fault does what it says."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from benchmarks.remote_parts.relay import Link, Way, relaying

FREE = Link()
BODY = bytes(range(256)) * 1024
PATIENT_S = 60.0


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def echoing(link: Link = FREE):
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, relaying(server.sockets[0].getsockname()[1], link) as relay:
        yield relay


async def connected(relay):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(relay.url.rpartition(":")[2]))
    return reader, writer


async def there_and_back(relay, body: bytes) -> bytes:
    reader, writer = await connected(relay)
    writer.write(body)
    writer.write_eof()
    found: bytes = await reader.read()
    writer.close()
    return found


async def test_everything_arrives_in_order_and_its_end_too() -> None:
    async with echoing() as relay:
        assert await there_and_back(relay, BODY) == BODY
        assert relay.passed_bytes(Way.TO_FRONT) == relay.passed_bytes(Way.TO_WORKER) == len(BODY)


async def test_each_way_takes_its_delay_and_its_rate_holds() -> None:
    async with echoing(Link(delay_s=0.02)) as relay:
        began_s = time.monotonic()
        assert await there_and_back(relay, b"a") == b"a"
        assert time.monotonic() - began_s >= 0.04
        relay.set_link(Way.TO_FRONT, Link(bytes_per_s=4 * len(BODY), buffer_bytes=1024))
        relay.set_link(Way.TO_WORKER, Link())
        began_s = time.monotonic()
        assert await there_and_back(relay, BODY) == BODY
        assert time.monotonic() - began_s >= 0.24


async def test_a_link_that_stood_still_loses_nothing() -> None:
    async with echoing() as relay:
        reader, writer = await connected(relay)
        stalled = asyncio.Event()
        relay.after(1000, Way.TO_FRONT, relay.stall)
        relay.after(1000, Way.TO_FRONT, stalled.set)
        writer.write(BODY)
        writer.write_eof()
        await asyncio.wait_for(stalled.wait(), PATIENT_S)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert relay.passed_bytes(Way.TO_FRONT) == 1000
        relay.heal()
        found = await reader.read()
        assert BODY.endswith(found)
        assert relay.passed_bytes(Way.TO_FRONT) == relay.passed_bytes(Way.TO_WORKER) == len(BODY)
        writer.close()


async def test_a_reset_in_mid_frame() -> None:
    async with echoing() as relay:
        reader, writer = await connected(relay)
        relay.after(5000, Way.TO_WORKER, relay.reset)
        writer.write(BODY)
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        assert relay.passed_bytes(Way.TO_WORKER) == 5000
        writer.close()


async def test_a_cut_cable_tells_nobody_until_it_is_mended() -> None:
    async with echoing() as relay:
        reader, writer = await connected(relay)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        relay.swallow()
        writer.write(BODY)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        relay.heal()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        assert await there_and_back(relay, BODY) == BODY


async def test_a_port_that_is_closed_and_opened_again() -> None:
    async with echoing() as relay:
        await relay.close_port()
        with pytest.raises(ConnectionRefusedError):
            await connected(relay)
        await relay.open_port()
        assert await there_and_back(relay, b"a") == b"a"


async def test_a_front_that_is_not_there() -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with relaying(port) as relay:
        reader, writer = await connected(relay)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
