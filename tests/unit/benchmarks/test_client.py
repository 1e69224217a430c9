"""The client: what pict-rs sends, connections used again, and every way in which an answer can fail to come."""

from __future__ import annotations

import asyncio
import base64

import pytest

from benchmarks.client import Answer, Client

from .conftest import SCAN_PATH, accepting, http


async def test_a_request_is_what_pict_rs_sends(stand_in) -> None:
    server = stand_in(accepting())
    async with Client(server.url) as client:
        answer = await client.post((b"pic", memoryview(b"a picture")[1:]), "image/png")
    assert answer.status == 200
    head = server.heads[0].decode()
    assert head.startswith(f"POST {SCAN_PATH} HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n" in head
    assert "Content-Type: image/png\r\n" in head
    assert "Transfer-Encoding: chunked\r\n" in head
    assert "Content-Length" not in head
    assert "User-Agent: pict-rs" in head
    assert server.bodies == [b"pic picture"]


async def test_user_and_password_become_http_basic_as_with_pict_rs(stand_in) -> None:
    server = stand_in(accepting())
    async with Client(server.url.replace("://", "://someone:a%40b@")) as client:
        await client.post([b"x"])
    head = server.heads[0].decode()
    assert f"Authorization: Basic {base64.b64encode(b'someone:a@b').decode()}\r\n" in head
    assert f"Host: 127.0.0.1:{server.port}\r\n" in head


async def test_connections_are_used_again(stand_in) -> None:
    server = stand_in(accepting())
    async with Client(server.url) as client:
        for _ in range(3):
            await client.post([b"x"])
        assert server.connections == 1
        await asyncio.gather(*(client.post([b"x"]) for _ in range(3)))
        assert server.connections == 3


async def test_a_connection_that_the_server_closes_is_not_used_again(stand_in) -> None:
    server = stand_in(lambda *_: http(401, b"{}", b"Connection: close"))
    async with Client(server.url) as client:
        assert [(await client.post([b"x"])).status for _ in range(2)] == [401, 401]
    assert server.connections == 2


async def test_an_answer_without_a_length_ends_with_its_connection(stand_in) -> None:
    server = stand_in(lambda *_: b"HTTP/1.1 200 OK\r\n\r\nall of it")
    async with Client(server.url) as client:
        assert await client.post([b"x"]) == Answer(200, b"all of it")


async def test_a_chunked_answer_is_read(stand_in) -> None:
    server = stand_in(
        lambda *_: http(200, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n"
    )
    async with Client(server.url) as client:
        assert (await client.post([b"x"])).body == b"ok"


async def test_an_interim_answer_is_not_the_answer(stand_in) -> None:
    server = stand_in(lambda *_: b"HTTP/1.1 100 Continue\r\n\r\n" + http(406, b"no"))
    async with Client(server.url) as client:
        assert await client.post([b"x"]) == Answer(406, b"no")


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", http(200, b"whole", b"Connection: close")[:-2]])
async def test_no_answer_another_protocol_and_half_an_answer_are_errors(stand_in, answer: bytes) -> None:
    server = stand_in(lambda *_: answer)
    async with Client(server.url) as client:
        with pytest.raises(ConnectionError, match=r"connection ended|not HTTP"):
            await client.post([b"x"])


async def test_nobody_listens(unused_tcp_port: int) -> None:
    async with Client(f"http://127.0.0.1:{unused_tcp_port}/") as client:
        with pytest.raises(ConnectionRefusedError):
            await client.post([b"x"])


async def test_an_answer_that_nobody_asked_for_is_counted(stand_in) -> None:
    twice = http(200, b"one") + http(200, b"two")
    server = stand_in(lambda *_: twice)
    async with Client(server.url) as client:
        assert (await client.post([b"x"])).body == b"one"
        assert client.unasked_answers == 1


@pytest.mark.parametrize("url", ["ftp://host/", "127.0.0.1:80/", "http:///path"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http or https"):
        Client(url)
