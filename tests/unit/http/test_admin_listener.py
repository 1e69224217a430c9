"""One process of a node has the admin API's port, and another takes it over."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI

from deployments.ray_environment import free_ports
from serve_app.http import admin_listener, node_listener
from serve_app.http.admin_listener import admin_listening
from serve_app.http.listening_socket import listening_socket
from serve_app.http.metrics_listener import metrics_listening


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
    return free_ports(1)[0]


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
    """Says when an error was logged, but for those of other ports, where threads of other tests may listen."""

    def __init__(self, port: int) -> None:
        super().__init__(logging.ERROR)
        self.seen = asyncio.Event()
        self.texts: list[str] = []
        self._port = port

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if " port " not in text or f" port {self._port}:" in text:
            self.texts.append(text)
            self.seen.set()


@pytest.fixture
def errors(port: int) -> Iterator[Errors]:
    errors, logger = Errors(port), logging.getLogger("serve_app.http")
    logger.addHandler(errors)
    yield errors
    logger.removeHandler(errors)


async def test_an_address_that_is_not_this_machines_is_told(port: int, errors: Errors) -> None:
    async with admin_listening(app_of("nobody"), "192.0.2.1", port), asyncio.timeout(20):
        await errors.seen.wait()
    assert len(errors.texts) == 1


@pytest.fixture
def asked(port: int, monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[bool]:
    """Tries follow each other at once; what was found when the port was asked whose it is.

    Threads of other tests may listen for as long as this process lives: they are left out.
    """
    answers: asyncio.Queue[bool] = asyncio.Queue()
    ask = node_listener._is_siblings

    async def is_siblings(wanted: node_listener.Listener) -> bool:
        found = await ask(wanted)
        if wanted.port == port:
            answers.put_nowait(found)
        return found

    monkeypatch.setattr(node_listener, "_is_siblings", is_siblings)
    monkeypatch.setattr(node_listener, "_TRY_EVERY_S", 0.01)
    return answers


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n" + await reader.readuntil(b"\r\n\r\n"))
    writer.close()


async def test_a_port_that_another_program_has_is_told(port: int, errors: Errors, asked: asyncio.Queue[bool]) -> None:
    stranger = await asyncio.start_server(echo, "127.0.0.1", port)
    async with stranger, asyncio.timeout(20), metrics_listening(app_of("nobody"), "127.0.0.1", port):
        await errors.seen.wait()
        assert not await asked.get()
    (text,) = errors.texts
    assert text == (
        f"metrics cannot listen on 127.0.0.1 port {port}: another program has it: stop that, or set another "
        "metrics.port"
    )


async def test_a_port_that_a_sibling_has_is_as_it_should_be(
    port: int, errors: Errors, asked: asyncio.Queue[bool]
) -> None:
    async with asyncio.timeout(20), admin_listening(app_of("first"), "127.0.0.1", port):
        assert await who(port) == "first"
        async with admin_listening(app_of("second"), "127.0.0.1", port):
            assert await asked.get()
    assert errors.texts == []


async def test_a_port_that_has_two_uses_is_told(port: int, errors: Errors, asked: asyncio.Queue[bool]) -> None:
    async with asyncio.timeout(20), admin_listening(app_of("first"), "127.0.0.1", port):
        assert await who(port) == "first"
        async with metrics_listening(app_of("second"), "127.0.0.1", port):
            assert not await asked.get()
            await errors.seen.wait()


async def test_a_server_that_fails_begins_again(port: int, errors: Errors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_listener, "_TRY_EVERY_S", 0.01)
    create, made = listening_socket, 0

    def first_is_broken(host: str, its_port: int) -> socket.socket:
        nonlocal made
        listener = create(host, its_port)
        if its_port == port:  # a thread of another test may listen elsewhere
            made += 1
            if made == 1:
                listener.close()
        return listener

    monkeypatch.setattr(node_listener, "listening_socket", first_is_broken)
    async with admin_listening(app_of("again"), "127.0.0.1", port):
        assert await who(port) == "again"
    assert errors.texts == ["the admin server has ended: bad file descriptor"]
