"""Workers that lie, answer garbage, twice or at length, and strangers without a secret."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import struct
from collections import Counter
from collections.abc import AsyncIterator

import aiohttp
import numpy as np
import pytest

from benchmarks.remote_parts.workers import Connection, accepted, connecting, work_at
from serve_app.remote.frames import packed
from serve_app.remote.messages import PROTOCOL, Refusal, Refused, Scored, Work
from serve_app.wire import WORKER_PATH
from tests.e2e.remote.front import Front, all_scanned, secret_of, somebody
from tests.e2e.remote.processes import until

STRANGERS = 1_000
AT_ONCE = 50
MB = 1_000_000
WORK_WITHIN_S = 30.0


async def ended(connection: Connection) -> Refused | None:
    """Why the front ended the connection; it has to."""
    refused = None
    while (message := await connection.received()) is not None:
        assert not isinstance(message, Work), "it gets a picture"
        refused = message if isinstance(message, Refused) else refused
    return refused


@contextlib.asynccontextmanager
async def trusted(front: Front, name: str, view_s: float) -> AsyncIterator[Connection]:
    """A worker that has passed its trial, gets pictures, and answers nothing from then on."""
    async with accepted(front.remote_url, secret_of(somebody()), name, view_s) as worker:
        working = asyncio.create_task(work_at(worker, view_s))
        await front.trusts(worker.name)
        working.cancel()
        await asyncio.wait([working])
        yield worker


async def test_another_model_than_the_first_is_refused(front: Front) -> None:
    async with (
        accepted(front.remote_url, secret_of("home"), "honest"),
        connecting(front.remote_url, secret_of(somebody())) as liar,
    ):
        hello = liar.hello("liar", 0.01)
        offers = [
            dataclasses.replace(each, model=dataclasses.replace(each.model, digest="1" * 64)) for each in hello.offers
        ]
        await liar.send(dataclasses.replace(hello, offers=tuple(offers)))
        refused = await ended(liar)
    assert refused is not None
    assert refused.reason is Refusal.MODEL


async def test_another_protocol_is_refused_with_what_to_upgrade(front: Front) -> None:
    async with connecting(front.remote_url, secret_of(somebody())) as liar:
        hello = liar.hello("liar", 0.01)
        await liar.send(dataclasses.replace(hello, protocol=PROTOCOL + 1, version="99.0"))
        refused = await ended(liar)
    assert refused is not None
    assert refused.reason is Refusal.PROTOCOL
    assert "99.0" in refused.message


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff" * 64, struct.pack(">BI", 9, 2**31), b"{}" * 1000], ids=["nothing", "ff", "length", "text"]
)
async def test_garbage_ends_the_connection_and_nothing_else(front: Front, garbage: bytes) -> None:
    async with connecting(front.remote_url, secret_of(somebody())) as garbler:
        await garbler.socket.send_bytes(garbage)
        await ended(garbler)
    async with accepted(front.remote_url, secret_of(somebody()), "honest", 0.01) as honest:
        working = asyncio.create_task(work_at(honest, 0.01))
        await front.trusts(honest.name)
        async with trusted(front, "garbler", 0.001) as garbler, first_work(front, garbler):
            await garbler.socket.send_bytes(garbage)
        working.cancel()


@contextlib.asynccontextmanager
async def first_work(front: Front, connection: Connection) -> AsyncIterator[Work]:
    """Send pictures until the worker has one in flight; all are scanned, whatever it does with it."""
    has_work = asyncio.Event()
    sending = asyncio.create_task(front.scan_until(has_work, per_s=20))
    message = None
    try:
        async with asyncio.timeout(WORK_WITHIN_S):
            while not isinstance(message, Work):
                message = await connection.received()
                assert message is not None, "the front has ended the connection"
        yield message
    finally:
        has_work.set()
        sent = await sending
    assert all_scanned(sent)


@pytest.mark.parametrize("flaw", ["nan", "too few", "of another work", "a scale of nothing"])
async def test_scores_that_cannot_be(front: Front, flaw: str) -> None:
    async with accepted(front.remote_url, secret_of(somebody()), "honest", 0.01) as honest:
        working = asyncio.create_task(work_at(honest, 0.01))
        await front.trusts(honest.name)
        async with trusted(front, "liar", 0.001) as liar, first_work(front, liar) as work:
            right = liar.scored(work)
            wrong = {
                "nan": dataclasses.replace(right, values=np.full_like(right.values, np.nan)),
                "too few": dataclasses.replace(right, values=right.values[:, :0]),
                "of another work": dataclasses.replace(right, number=work.number + 1_000),
                "a scale of nothing": dataclasses.replace(right, logit_scale=0.0),
            }[flaw]
            await liar.send(wrong)
        working.cancel()


async def test_everything_answered_twice_and_out_of_order(front: Front) -> None:
    async with accepted(front.remote_url, secret_of(somebody()), "double", 0.01) as doubling:
        answered = Counter[int]()

        async def answer() -> None:
            kept: Scored | None = None
            while (message := await doubling.received()) is not None:
                if isinstance(message, Work):
                    scored = doubling.scored(message)
                    for each in (scored, scored, kept or scored):
                        await doubling.send(each)
                        answered[each.number] += 1
                    kept = scored

        answering = asyncio.create_task(answer())
        sent = await front.scan_all(20, per_s=40)
        assert all_scanned(sent)
        assert min(answered.values()) >= 2
        assert not answering.done(), "it was sent away"
        decisions = [f"request {each.outcome.request_id}: {each.outcome.verdict} " for each in sent]
        await until(lambda: all(map(front.process.said, decisions)), told=front.process.text)
        assert max(map(front.process.said, decisions)) == 1
        answering.cancel()


async def test_a_frame_of_100_mb(front: Front) -> None:
    async with accepted(front.remote_url, secret_of(somebody()), "honest", 0.01) as honest:
        working = asyncio.create_task(work_at(honest, 0.01))
        await front.trusts(honest.name)
        await front.scan_one()
        before_bytes = front.memory_bytes
        async with trusted(front, "flood", 0.001) as flooding:
            sending = asyncio.create_task(front.scan_all(20, per_s=20))
            with pytest.raises((aiohttp.ClientConnectionError, ConnectionError)):
                await asyncio.gather(*(flooding.socket.send_bytes(bytes(100 * MB)) for _ in range(2)))
            assert all_scanned(await sending)
        assert front.memory_bytes - before_bytes < 20 * MB
        working.cancel()


async def test_a_thousand_strangers(front: Front) -> None:
    async with accepted(front.remote_url, secret_of(somebody()), "honest", 0.01) as honest:
        working = asyncio.create_task(work_at(honest, 0.01))
        await front.trusts(honest.name)
        await front.scan_all(20, per_s=40)
        before_bytes, lines_before = front.memory_bytes, len(front.process.lines)
        statuses = Counter[int]()

        async def knock(client: aiohttp.ClientSession, number: int) -> None:
            headers = {"authorization": f"Bearer {'wrong-secret-' * 3}{number}"}
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(front.remote_url + WORKER_PATH, headers=headers)
            statuses[refused.value.status] += 1

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as client:
            sending = asyncio.create_task(front.scan_all(40, per_s=20))
            await asyncio.gather(*(knock(client, number) for number in range(STRANGERS)))
            assert all_scanned(await sending)
        working.cancel()
    assert statuses.total() == STRANGERS
    assert set(statuses) <= {401, 403}
    assert front.memory_bytes - before_bytes < 20 * MB
    told = front.process.lines[lines_before:]
    assert len([line for line in told if " rule=" not in line]) < STRANGERS // 10, "a line for each"
    assert "wrong-secret" not in "".join(told)


async def test_a_frame_of_the_front_is_no_frame_of_a_worker(front: Front) -> None:
    async with connecting(front.remote_url, secret_of(somebody())) as garbler:
        await garbler.socket.send_bytes(packed(garbler.wanted))
        await ended(garbler)


async def test_no_secret_and_another_scopes_secret(front: Front) -> None:
    async with aiohttp.ClientSession() as client:
        for headers in ({}, {"authorization": "Bearer a-secret-of-the-tests-and-of-nothing-else"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(front.remote_url + WORKER_PATH, headers=headers)
            assert refused.value.status in (401, 403)


async def test_a_worker_that_says_nothing(front: Front) -> None:
    async with connecting(front.remote_url, secret_of(somebody())):
        assert not (await front.scan_one()).outcome.is_scanned
    await until(lambda: front.process.is_running)
