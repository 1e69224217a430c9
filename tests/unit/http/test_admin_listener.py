"""One process of a node has the admin API's port, and another takes it over."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI

from serve_app.http import admin_listener
from serve_app.http.admin_listener import admin_listening


def app_of(name: str) -> FastAPI:
    app = FastAPI()
    app.get("/who")(lambda: name)
    return app


async def who(port: int) -> str:
    """Who answers; asks until somebody does."""
    async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                return str((await client.get(f"http://127.0.0.1:{port}/who")).json())
            except httpx.TransportError:
                await asyncio.sleep(0.02)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_a_sibling_takes_over_when_the_first_one_ends(port: int) -> None:
    async with AsyncExitStack() as second:
        async with admin_listening(app_of("first"), "127.0.0.1", port):
            assert await who(port) == "first"
            await second.enter_async_context(admin_listening(app_of("second"), "127.0.0.1", port))
            assert await who(port) == "first"
        assert await who(port) == "second"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_a_request_that_lasts_does_not_delay_the_end(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_listener, "DRAIN_S", 0.1)
    app, inside = app_of("first"), asyncio.Event()

    @app.get("/forever")
    async def forever() -> None:
        inside.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(20):
        async with admin_listening(app, "127.0.0.1", port):
            assert await who(port) == "first"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /forever HTTP/1.1\r\nHost: test\r\n\r\n")
            await inside.wait()
        assert await reader.read() == b""
        writer.close()


class Errors(logging.Handler):
    """Says when an error was logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen = asyncio.Event()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.seen.set()


async def test_an_address_that_is_not_this_machines_is_told() -> None:
    errors = Errors()
    logger = logging.getLogger("serve_app.http.node_listener")
    logger.addHandler(errors)
    try:
        async with admin_listening(app_of("nobody"), "192.0.2.1", 14052), asyncio.timeout(20):
            await errors.seen.wait()
    finally:
        logger.removeHandler(errors)
    assert errors.count == 1
