"""The server of the one process: what each phase of a connection may take, and how it ends. Over loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import resource
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from serve_app.http.connection import Connection
from serve_app.http.server import serving
from serve_app.misskey_api import DETECT_PATH

PATIENT_S = 60.0
SHORT_S = 0.2

GET = b"GET /quick HTTP/1.1\r\nHost: test\r\n\r\n"


class Served:
    """A running server, and clients of it."""

    def __init__(self, port: int, stop: asyncio.Event) -> None:
        self.port = port
        self.stop = stop
        self.inside = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.left = asyncio.Event()
        self.seen: list[str] = []

    @contextlib.asynccontextmanager
    async def connection(self, sent: bytes = b"") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent)
            yield reader, writer
        finally:
            writer.close()

    @staticmethod
    async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(PATIENT_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))

    @staticmethod
    async def is_closed(reader: asyncio.StreamReader) -> bool:
        """Whether nothing more comes, ever."""
        async with asyncio.timeout(PATIENT_S):
            try:
                return await reader.read() == b""
            except ConnectionError:
                return True


def application(served: Served) -> FastAPI:
    app = FastAPI()

    @app.get("/quick")
    async def quick(request: Request) -> Response:
        served.seen.append(f"{request.client.host if request.client else None} {request.scope['http_version']}")
        return Response("quick")

    @app.get("/slow")
    async def slow(request: Request) -> Response:
        served.inside.set()
        await served.may_answer.wait()
        return Response("slow")

    @app.post(DETECT_PATH)
    @app.post("/refused")
    async def refused() -> Response:
        return Response("full", 503)

    @app.post("/closed")
    async def closed() -> Response:
        return Response("no", 401, {"Connection": "close"})

    @app.post("/length")
    async def length(request: Request) -> Response:
        try:
            return Response(str(len(await request.body())))
        except ClientDisconnect:
            served.left.set()
            return Response()

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        for rest in (bytes(20_000_000), b""):
            await send({"type": "http.response.body", "body": rest, "more_body": bool(rest)})
        served.left.set()

    app.mount("/large", large)
    return app


@pytest.fixture
def serve() -> Callable[..., AbstractAsyncContextManager[Served]]:
    @contextlib.asynccontextmanager
    async def serve(deadline_s: float = 8.0, drain_s: float | None = None) -> AsyncIterator[Served]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            served = Served(listener.getsockname()[1], asyncio.Event())
            async with serving(application(served), deadline_s, [listener], served.stop, drain_s):
                try:
                    yield served
                except BaseException:
                    served.may_answer.set()  # a test that fails does not wait for the end of a drain
                    raise

    return serve


Serve = Callable[..., AbstractAsyncContextManager[Served]]


async def test_one_connection_carries_many_requests(serve: Serve) -> None:
    async with serve() as served, served.connection() as (reader, writer):
        for _ in range(3):
            writer.write(GET)
            status, headers, body = await served.answer(reader)
            assert (status, body) == (200, b"quick")
            assert "connection" not in headers


@pytest.mark.parametrize("sent", [b"", b"GET /quick HT", b"GET /quick HTTP/1.1\r\nHost: te"])
async def test_a_head_that_does_not_come_to_its_end_ends_the_connection(serve: Serve, sent: bytes) -> None:
    async with serve(SHORT_S) as served, served.connection(sent) as (reader, _):
        assert await served.is_closed(reader)


async def test_a_head_that_comes_by_single_bytes_has_no_more_time(serve: Serve) -> None:
    async with serve(SHORT_S) as served, served.connection(b"GET /quick HTTP/1.1\r\nX: ") as (reader, writer):
        closed = asyncio.create_task(served.is_closed(reader))
        while not closed.done():
            writer.write(b"x")
            await asyncio.wait({closed}, timeout=0.01)
        assert closed.result()


async def test_a_second_head_has_as_much_time_as_the_first(serve: Serve) -> None:
    async with serve(SHORT_S) as served, served.connection(GET) as (reader, writer):
        assert (await served.answer(reader))[0] == 200
        writer.write(b"GET /qu")
        assert await served.is_closed(reader)


async def test_a_connection_that_idles_after_an_answer_is_left_open(serve: Serve) -> None:
    async with serve(SHORT_S) as served, served.connection(GET) as (reader, writer):
        await served.answer(reader)
        async with served.connection() as (other, _):
            assert await served.is_closed(other)  # by then the time for a head is over
        writer.write(GET)
        assert (await served.answer(reader))[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET /quick HTTP/1.1\r\nX: " + b"x" * 20_000, id="a header without an end"),
        pytest.param(b"GET /" + b"x" * 20_000, id="a path without an end"),
        pytest.param(b"GET /quick HTTP/1.1\r\n" + b"X: y\r\n" * 4_000, id="headers without an end"),
    ],
)
async def test_a_head_is_bounded(serve: Serve, sent: bytes) -> None:
    async with serve() as served, served.connection(sent) as (reader, _):
        status, headers, body = await served.answer(reader)
        assert (status, json.loads(body)["reason"], headers["connection"]) == (431, "malformed_request", "close")
        assert json.loads(body)["request_id"] == headers["x-request-id"]
        assert await served.is_closed(reader)
        assert served.seen == []


async def test_what_follows_a_body_is_bounded_like_a_head(serve: Serve) -> None:
    head = b"POST /length HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = head + b"3\r\nabc\r\n0\r\n" + b"Trailer: x\r\n" * 100_000
    async with serve(deadline_s=60.0) as served, served.connection(sent):
        async with asyncio.timeout(PATIENT_S):
            await served.left.wait()


@pytest.mark.parametrize("size", [100, 1_000_000])
async def test_bodies_of_any_length_are_read(serve: Serve, size: int) -> None:
    head = b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % size
    async with serve() as served, served.connection(head + bytes(size)) as (reader, writer):
        assert (await served.answer(reader))[2] == str(size).encode()
        writer.write(GET)
        assert (await served.answer(reader))[2] == b"quick"


@pytest.mark.parametrize(
    "sent",
    [
        b"no HTTP\r\n\r\n",
        b"GET /quick HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"CONNECT elsewhere:443 HTTP/1.1\r\n\r\n",
        b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /length HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n",
    ],
)
async def test_what_is_not_http_is_answered_in_the_form_of_every_answer(serve: Serve, sent: bytes) -> None:
    async with serve() as served, served.connection(sent) as (reader, _):
        status, headers, body = await served.answer(reader)
        assert (status, json.loads(body)["reason"]) == (400, "malformed_request")
        assert headers["content-type"] == "application/json"
        assert await served.is_closed(reader)


async def test_requests_that_are_sent_ahead_are_dropped_and_the_first_is_answered(serve: Serve) -> None:
    ahead = GET.replace(b"quick", b"slow") + GET * 1000
    async with serve() as served, served.connection(ahead) as (reader, writer):
        await served.inside.wait()
        writer.write(GET * 1000)
        served.may_answer.set()
        status, headers, body = await served.answer(reader)
        assert (status, body, headers["connection"]) == (200, b"slow", "close")
        assert await served.is_closed(reader)
        assert served.seen == []


async def test_http_1_0_is_answered_and_closed(serve: Serve) -> None:
    async with serve() as served, served.connection(b"GET /quick HTTP/1.0\r\n\r\n") as (reader, _):
        assert (await served.answer(reader))[2] == b"quick"
        assert await served.is_closed(reader)
        assert served.seen == ["127.0.0.1 1.0"]


async def test_a_body_that_waits_for_100_continue_is_asked_for(serve: Serve) -> None:
    head = b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    async with serve() as served, served.connection(head) as (reader, writer):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await served.answer(reader))[2] == b"3"


async def test_an_upgrade_is_passed_over(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    async with serve() as served, served.connection(GET[:-2] + upgrade + b"\r\n") as (reader, _):
        assert (await served.answer(reader))[2] == b"quick"
    assert caplog.text == ""


async def test_an_address_that_a_header_tells_is_nobodys(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    monkeypatch.setenv("WEB_CONCURRENCY", "no number")
    async with serve() as served, served.connection(GET[:-2] + b"X-Forwarded-For: 192.0.2.7\r\n\r\n") as (reader, _):
        assert (await served.answer(reader))[0] == 200
        assert served.seen == ["127.0.0.1 1.1"]


@pytest.mark.parametrize(("path", "chunks"), [("/refused", 10), (DETECT_PATH, 42)])
async def test_the_rest_of_a_refused_body_is_read_and_the_connection_used_again(
    serve: Serve, path: str, chunks: int
) -> None:
    """Of Misskey's ten pictures too, which are longer than most uploads."""
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    async with serve() as served, served.connection(head) as (reader, writer):
        assert (await served.answer(reader))[0] == 503
        writer.write((b"10000\r\n" + bytes(65_536) + b"\r\n") * chunks + b"0\r\n\r\n" + GET)
        assert (await served.answer(reader))[2] == b"quick"


async def test_the_rest_of_a_refused_body_is_not_read_for_ever(serve: Serve) -> None:
    head = b"POST /refused HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serve(SHORT_S) as served, served.connection(head) as (reader, writer):
        assert (await served.answer(reader))[0] == 503
        closed = asyncio.create_task(served.is_closed(reader))
        while not closed.done():
            writer.write(b"5\r\nabcde\r\n")
            await asyncio.wait({closed}, timeout=0.01)
        assert closed.result()


async def taken_bytes(writer: asyncio.StreamWriter, most: int) -> int:
    """How many of so many bytes could be sent."""
    sent_bytes = 0
    with contextlib.suppress(ConnectionError):
        while sent_bytes < most:
            writer.write(bytes(100_000))
            sent_bytes += 100_000
            await writer.drain()
    return sent_bytes


async def test_of_a_long_body_that_was_refused_little_is_read(serve: Serve) -> None:
    head = b"POST /refused HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n"
    async with serve(deadline_s=60.0) as served, served.connection(head) as (reader, writer):
        assert (await served.answer(reader))[0] == 503
        assert await taken_bytes(writer, 100_000_000) < 50_000_000, "what buffers took, and not all of it"


UPGRADE = b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"Content-Length: 5\r\n", b"hello"),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"nonsense\r\n"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("before", [b"", GET])
async def test_an_upgrade_with_a_body_is_refused_and_leaves_no_line(
    caplog: pytest.LogCaptureFixture, headers: bytes, body: bytes, at_once: bool, before: bytes
) -> None:
    upgrade = UPGRADE + headers + b"\r\n"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        served = Served(listener.getsockname()[1], asyncio.Event())
        serving_workers = serving(application(served), 8.0, [listener], served.stop, has_websockets=True)
        async with serving_workers, served.connection(before) as (reader, writer):
            if before:
                assert (await served.answer(reader))[0] == 200
            writer.write(upgrade + (body if at_once else b""))
            await asyncio.sleep(0.02)
            writer.write(b"" if at_once else body)
            assert (await served.answer(reader))[0] == 400
            assert await served.is_closed(reader)
    assert caplog.text == ""


@pytest.mark.parametrize("headers", [b"", b"Content-Length: 0\r\n", b"Sec-WebSocket-Version: 12\r\n", b"X: \xff\r\n"])
async def test_an_upgrade_that_is_no_handshake_ends(caplog: pytest.LogCaptureFixture, headers: bytes) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        served = Served(listener.getsockname()[1], asyncio.Event())
        serving_workers = serving(application(served), 8.0, [listener], served.stop, has_websockets=True)
        async with serving_workers, served.connection(UPGRADE + headers + b"\r\n") as (reader, _):
            async with asyncio.timeout(PATIENT_S):
                await reader.read()
    assert caplog.text == ""


@pytest.mark.parametrize("body_bytes", [10, 20_000, 100_000])
async def test_a_request_with_a_body_that_is_sent_ahead_does_not_cost_the_first_one_its_answer(
    serve: Serve, body_bytes: int
) -> None:
    ahead = b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % body_bytes + bytes(body_bytes)
    async with serve() as served, served.connection(GET.replace(b"quick", b"slow")) as (reader, writer):
        await served.inside.wait()
        writer.write(ahead)
        served.may_answer.set()
        assert (await served.answer(reader))[2] == b"slow"


async def test_a_connection_that_has_ended_leaves_nothing_for_the_collector(serve: Serve) -> None:
    """What it holds, a refused body say, may be large, and collections are rare."""

    def connections() -> list[Connection]:
        return [each for each in gc.get_objects() if type(each) is Connection]

    async with serve() as served:
        gc.collect()
        of_others = {id(each) for each in connections()}
        gc.disable()
        try:
            async with served.connection(GET) as (reader, _):
                await served.answer(reader)
                (ended,) = [weakref.ref(each) for each in connections() if id(each) not in of_others]
            async with asyncio.timeout(PATIENT_S):
                while ended() is not None:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()


CLOSING = {
    "a refused body": b"POST /closed HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
    "a refused body of a known length": b"POST /closed HTTP/1.1\r\nHost: test\r\nContent-Length: 900000\r\n\r\n",
    "a refused body of HTTP/1.0": b"POST /refused HTTP/1.0\r\nContent-Length: 900000\r\n\r\n",
    "a head without an end": b"GET /quick HTTP/1.1\r\nX: " + b"x" * 20_000,
    "no HTTP": b"no HTTP\r\n\r\n",
    "requests that are sent ahead": GET * 2,
}


@pytest.mark.parametrize("sent", CLOSING.values(), ids=CLOSING)
async def test_an_answer_that_closes_is_taken_in_peace_whatever_its_peer_still_sends(serve: Serve, sent: bytes) -> None:
    """A proxy that is told that the connection was reset while it sends has no answer to hand on."""
    async with serve() as served, served.connection(sent) as (reader, writer):
        assert (await served.answer(reader))[1]["connection"] == "close"
        assert await reader.read() == b"", "the end, and no reset"
        for _ in range(8):
            writer.write(bytes(100_000))
            await writer.drain()
        assert writer.transport.get_write_buffer_size() == 0
        assert not writer.transport.is_closing()


@pytest.mark.parametrize("sent", CLOSING.values(), ids=CLOSING)
async def test_what_a_peer_sends_after_such_an_answer_is_not_read_for_ever(serve: Serve, sent: bytes) -> None:
    async with serve(SHORT_S) as served, served.connection(sent) as (reader, writer):
        await served.answer(reader)
        reset = asyncio.create_task(writer.wait_closed())
        while not reset.done():
            writer.write(b"x")
            await asyncio.wait({reset}, timeout=0.01)
        assert isinstance(reset.exception(), ConnectionError)


@pytest.mark.parametrize("sent", CLOSING.values(), ids=CLOSING)
async def test_of_what_a_peer_sends_after_such_an_answer_little_is_read(serve: Serve, sent: bytes) -> None:
    async with serve(deadline_s=60.0) as served, served.connection(sent) as (reader, writer):
        await served.answer(reader)
        assert await taken_bytes(writer, 100_000_000) < 50_000_000, "what buffers took, and not all of it"


async def test_a_peer_that_does_not_take_its_answer_is_let_go(serve: Serve) -> None:
    async with serve(SHORT_S) as served, served.connection(b"GET /large/ HTTP/1.1\r\nHost: test\r\n\r\n"):
        async with asyncio.timeout(PATIENT_S):
            await served.left.wait()


async def test_the_connection_that_has_been_without_a_request_for_longest_makes_room(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8, 8))
    async with serve() as served, contextlib.AsyncExitStack() as stack:

        async def connect(sent: bytes = b"") -> Any:
            return (await stack.enter_async_context(served.connection(sent)))[0]

        inside = await connect(GET.replace(b"quick", b"slow"))
        await served.inside.wait()
        idle = []
        for _ in range(10):
            reader = await connect(GET)
            assert (await served.answer(reader))[2] == b"quick"
            idle.append(reader)
        for reader in idle[:-3]:
            assert await served.is_closed(reader)
        assert not any(reader.at_eof() for reader in idle[-3:])
        served.may_answer.set()
        assert (await served.answer(inside))[2] == b"slow"


async def test_a_drain_answers_what_is_inside_and_what_is_on_its_way_and_takes_nothing_else(serve: Serve) -> None:
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(serve())
        async with (
            served.connection(GET.replace(b"quick", b"slow")) as (inside, _),
            served.connection(GET) as (kept, sends_again),
            served.connection() as (fresh, _),
        ):
            await served.inside.wait()
            await served.answer(kept)
            draining = asyncio.create_task(stack.aclose())
            await served.stop.wait()
            sends_again.write(GET)
            status, headers, _ = await served.answer(kept)
            assert (status, headers["connection"]) == (200, "close")
            served.may_answer.set()
            status, headers, body = await served.answer(inside)
            assert (status, headers["connection"], body) == (200, "close", b"slow")
            assert await served.is_closed(fresh)
            await draining
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", served.port)


async def test_a_drain_ends_before_the_longest_answer_where_that_is_wanted(serve: Serve) -> None:
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(serve(300.0, SHORT_S))
        async with (
            served.connection(GET.replace(b"quick", b"slow")) as (inside, _),
            served.connection(b"GET /large/ HTTP/1.1\r\nHost: test\r\n\r\n") as (large, _),
        ):
            await served.inside.wait()
            await large.readexactly(1)
            async with asyncio.timeout(PATIENT_S):
                await stack.aclose()
                await served.left.wait()
            assert await served.is_closed(inside)


async def test_a_drain_begins_with_the_stop_so_that_servers_drain_at_one_time(serve: Serve) -> None:
    """Whatever else the block waits for: an admin's request that hangs, and an upload, have the same seconds to end."""
    async with serve() as served, served.connection(GET.replace(b"quick", b"slow")) as (inside, _):
        await served.inside.wait()
        served.stop.set()
        async with asyncio.timeout(PATIENT_S):
            with contextlib.suppress(ConnectionError):
                while True:
                    async with served.connection(GET) as (reader, _):
                        await reader.read()
        served.may_answer.set()
        status, headers, body = await served.answer(inside)
        assert (status, headers["connection"], body) == (200, "close", b"slow")
