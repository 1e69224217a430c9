"""Arrivals, and the client: what pict-rs sends, connections used again, and every way in which no answer comes."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from statistics import mean, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load import Target, fetched, open_loop, poisson_arrivals_s, post, session
from benchmarks.outcomes import NO_ANSWER

from .conftest import SCAN_PATH, accepting, http


@given(rate=st.floats(0.1, 50), duration_s=st.floats(0.1, 20), seed=st.integers(0, 1000))
def test_every_arrival_is_in_time_and_in_order(rate: float, duration_s: float, seed: int) -> None:
    moments = poisson_arrivals_s(rate, duration_s, seed)
    assert moments == sorted(moments)
    assert all(0 < moment < duration_s for moment in moments)
    assert moments == poisson_arrivals_s(rate, duration_s, seed)


def test_the_arrivals_are_those_of_a_poisson_process() -> None:
    """The variance of their number in each second is its mean, which is the wanted rate."""
    counts = Counter(map(int, poisson_arrivals_s(20.0, 5000.0, 1)))
    each = [counts[second] for second in range(5000)]
    assert mean(each) == pytest.approx(20, rel=0.05)
    assert variance(each) / mean(each) == pytest.approx(1, abs=0.1)


def test_a_load_without_an_arrival_is_refused() -> None:
    with pytest.raises(ValueError, match="too short for its rate"):
        open_loop(Target("http://service", bytes), poisson_arrivals_s(0.0, 1.0, 1))


async def test_a_request_is_what_pict_rs_sends(stand_in) -> None:
    server = stand_in(accepting())
    async with session() as client:
        status, _ = await post(client, server.url, b"a picture", "image/png")
    assert status == 200
    head = server.heads[0].decode()
    assert head.startswith(f"POST {SCAN_PATH} HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n" in head
    assert "Content-Type: image/png\r\n" in head
    assert "Transfer-Encoding: chunked\r\n" in head
    assert "Content-Length" not in head
    assert "User-Agent: pict-rs" in head
    assert server.bodies == [b"a picture"]


async def test_a_body_may_come_in_parts(stand_in) -> None:
    async def parts() -> AsyncIterator[bytes | memoryview]:
        yield b"pic"
        yield memoryview(b"a picture")[1:]

    server = stand_in(accepting())
    async with session() as client:
        assert (await post(client, server.url, parts()))[0] == 200
    assert server.bodies == [b"pic picture"]
    assert "Content-Length" not in server.heads[0].decode()


async def test_user_and_password_become_http_basic_as_with_pict_rs(stand_in) -> None:
    server = stand_in(accepting())
    async with session() as client:
        await post(client, server.url.replace("://", "://someone:a%40b@"), b"x")
    head = server.heads[0].decode()
    assert f"Authorization: Basic {base64.b64encode(b'someone:a@b').decode()}\r\n" in head
    assert f"Host: 127.0.0.1:{server.port}\r\n" in head


async def test_connections_are_used_again(stand_in) -> None:
    server = stand_in(accepting())
    async with session() as client:
        for _ in range(3):
            await post(client, server.url, b"x")
        assert server.connections == 1
        await asyncio.gather(*(post(client, server.url, b"x") for _ in range(30)))
        assert 1 < server.connections <= 30


async def test_a_redirect_is_an_answer(stand_in) -> None:
    server = stand_in(lambda *_: http(307, b"", b"Location: /elsewhere"))
    async with session() as client:
        assert (await post(client, server.url, b"x"))[0] == 307
    assert len(server.heads) == 1


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", http(200, b"whole", b"Connection: close")[:-2]])
async def test_no_answer_another_protocol_and_half_an_answer_are_none_and_nothing_is_sent_twice(
    stand_in, answer: bytes
) -> None:
    server = stand_in(lambda *_: answer)
    async with session() as client:
        assert await post(client, server.url, b"x") == (NO_ANSWER, b"")
    assert len(server.heads) == 1


async def test_nobody_listens(unused_tcp_port: int) -> None:
    async with session() as client:
        assert await post(client, f"http://127.0.0.1:{unused_tcp_port}/", b"x") == (NO_ANSWER, b"")
    assert await asyncio.to_thread(fetched, f"http://127.0.0.1:{unused_tcp_port}/readyz") == (NO_ANSWER, "")
