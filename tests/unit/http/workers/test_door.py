"""Where workers come in, over loopback sockets: who may, what each has to say, and what ends a connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from serve_app.domain import UnscannedReason
from serve_app.http.guard import Guard
from serve_app.http.workers.connection import ConnectionTimes
from serve_app.http.workers.websocket import MOST_FRAME_BYTES
from serve_app.policy import Policy
from serve_app.remote.messages import (
    PROTOCOL,
    Accepted,
    Failed,
    Hello,
    Leaving,
    Ping,
    Pong,
    Refusal,
    Refused,
    Scored,
    Wanted,
)
from serve_app.remote.requirements import requirement_of
from serve_app.settings import AuthenticationSettings
from tests.unit.http.workers.worker_client import (
    HELLO,
    MODEL,
    PATIENT_S,
    SECRET,
    VIEWS,
    WANTED,
    TestWorker,
    call,
    listening,
    named,
)

QUICK = ConnectionTimes(ping_every_s=0.02, look_every_s=0.01)


@contextlib.asynccontextmanager
async def at_work(worker: TestWorker) -> AsyncIterator[None]:
    """It answers, pings too, as long as the block."""
    working = asyncio.create_task(worker.work())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


# Who may


async def test_a_worker_is_told_what_is_wanted_and_scores() -> None:
    async with listening() as front, front.worker() as worker:
        assert await worker.receive(Wanted) == WANTED
        await worker.send(HELLO)
        assert await worker.receive(Accepted) == Accepted("alice/desktop")
        scoring = asyncio.create_task(front.fleet.score(0, VIEWS, call()))
        await worker.score(0.25)
        scores = await scoring
        np.testing.assert_array_equal(scores.values, np.full((2, 2), 0.25, np.float32))
        assert (scores.worker, scores.model, scores.logit_scale) == ("alice/desktop", MODEL, 100.0)


@pytest.mark.parametrize("authorization", [None, "Bearer ", "Bearer a-secret-for-pict-rs", f"Basic {SECRET}", SECRET])
async def test_another_secret_is_refused_before_there_is_a_websocket(authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization is not None else {}
    async with listening() as front:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await front.session.ws_connect(front.url, headers=headers)
        assert (refused.value.status, front.fleet.members) == (401, ())
        assert refused.value.headers is not None
        assert refused.value.headers["WWW-Authenticate"] == "Bearer"


async def test_many_wrong_secrets_have_few_lines_and_leave_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with listening() as front:

        async def knock() -> int:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await front.session.ws_connect(front.url, headers={"Authorization": "Bearer a-guess"})
            return refused.value.status

        for _ in range(50):
            assert set(await asyncio.gather(*(knock() for _ in range(20)))) == {401}
        assert len(caplog.records) == 10
        async with front.worker() as worker:
            await worker.join()


async def test_who_sends_no_upgrade_is_told_what_its_proxy_lacks() -> None:
    async with listening() as front, front.session.get(front.url) as answer:
        assert (answer.status, "Upgrade" in await answer.text()) == (426, True)
    async with listening() as front, front.session.get(f"http://127.0.0.1:{front.port}/readyz") as answer:
        assert answer.status == 404


async def test_a_secret_that_is_taken_away_closes_its_connections(tmp_path: Path) -> None:
    file = tmp_path / "workers"
    file.write_text(f"alice:{SECRET},bob:the-secret-of-bob's-desktop", "utf-8")
    file.chmod(0o600)
    environment = {"PICTWARDEN_SECRETS": "a-secret-for-pict-rs", "PICTWARDEN_WORKER_SECRETS_FILE": str(file)}
    guard = Guard.from_environment(AuthenticationSettings(), environment)
    async with listening(guard, QUICK) as front, front.worker() as worker, front.worker() as loading:
        await worker.join()
        async with front.worker("the-secret-of-bob's-desktop") as other:
            assert await other.join() == Accepted("bob/desktop")
            file.write_text("bob:the-secret-of-bob's-desktop", "utf-8")
            assert (await worker.refused()).reason is Refusal.REVOKED
            await loading.receive(Wanted)
            assert (await loading.refused()).reason is Refusal.REVOKED
            assert await worker.close_code() == 1000
            assert [each.name for each in front.fleet.members] == ["bob/desktop"]


# What it says first


def of_model(**changed: Any) -> Hello:
    return replace(HELLO, offers=(replace(HELLO.offers[0], model=replace(MODEL, **changed)),))


@pytest.mark.parametrize(
    ("hello", "reason", "message"),
    [
        (replace(HELLO, protocol=PROTOCOL + 1), Refusal.PROTOCOL, "upgrade the front"),
        (replace(HELLO, offers=()), Refusal.MODEL, "sets of labels"),
        (named("x" * 201), Refusal.PROTOCOL, "too long"),
        (named("a name"), Refusal.PROTOCOL, "no white space"),
        (named(""), Refusal.PROTOCOL, "no name"),
        (replace(HELLO, device="a\x1b[2J GPU"), Refusal.PROTOCOL, "cannot be printed"),
        (of_model(name="a\0model"), Refusal.PROTOCOL, "cannot be printed"),
        (of_model(notice="x" * 1001), Refusal.PROTOCOL, "too long"),
        (of_model(parts=(replace(MODEL, notice="a\nline"),)), Refusal.PROTOCOL, "cannot be printed"),
        (of_model(digest="' OR 1"), Refusal.PROTOCOL, "hexadecimal"),
        *((of_model(image_size_px=size), Refusal.PROTOCOL, "of a size") for size in (-1, 0, 20_000)),
    ],
)
async def test_a_worker_that_does_not_fit_is_told_why(hello: Hello, reason: Refusal, message: str) -> None:
    async with listening() as front, front.worker() as worker:
        await worker.receive(Wanted)
        await worker.send(hello)
        refused = await worker.refused()
        assert (refused.reason, message in refused.message) == (reason, True), refused
        assert await worker.close_code() == 1000
        assert front.fleet.members == ()


async def test_a_worker_with_another_model_than_the_policy_s_is_refused(
    make_policy: Callable[..., Policy],
) -> None:
    policy = make_policy()
    require = requirement_of([policy], [policy.labels])
    async with listening(require=require) as front, front.worker() as worker:
        await worker.receive(Wanted)
        await worker.send(replace(HELLO, offers=(replace(HELLO.offers[0], model=replace(MODEL, name="other")),)))
        refused = await worker.refused()
        assert refused.reason is Refusal.MODEL
        assert f"policy '{policy.name}' is for the model" in refused.message


async def test_one_more_than_there_may_be_is_told_to_wait() -> None:
    async with listening(max_workers=1) as front, front.worker() as first, front.worker() as second:
        assert await first.join() == Accepted("alice/desktop")
        await second.receive(Wanted)
        await second.send(HELLO)
        assert (await second.refused()).reason is Refusal.FULL


async def test_connections_of_workers_that_load_for_ever_are_bounded() -> None:
    async with listening(max_workers=1) as front, front.worker() as first, front.worker() as second:
        await first.receive(Wanted)
        await second.receive(Wanted)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with front.worker():
                pass
        assert refused.value.status == 429, "before there is a WebSocket"


BOB = "a-secret-of-bob-s-workers"


async def test_one_is_refused_before_it_loads_its_models_and_a_place_is_kept_for_each_owner() -> None:
    guard = Guard(["a-secret-for-pict-rs"], worker_secrets={"alice": SECRET, "bob": BOB})
    async with listening(guard, max_workers=2) as front, front.worker() as first:
        await first.join()
        async with at_work(first):
            async with front.worker() as second:
                refused = await second.refused()
            assert refused.reason is Refusal.FULL
            assert "kept for other owners: stop another worker, or have remote.max_workers" in refused.message
            async with front.worker(BOB) as other:
                await other.join()
                async with at_work(other), front.worker(BOB) as third:
                    assert "all 2 places" in (await third.refused()).message


async def test_refused_workers_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(max_workers=1) as front, front.worker() as first:
        await first.join()
        async with at_work(first):
            for _ in range(15):
                async with front.worker() as other:
                    await other.refused()
                    await other.close_code()
    assert sum("was not taken" in each for each in caplog.messages) == 10


async def test_one_that_leaves_and_stays_is_closed() -> None:
    async with listening(times=replace(QUICK, leaving_s=0.02)) as front, front.worker() as worker:
        front.door.wanted = replace(WANTED, deadline_s=0.01)
        await worker.join()
        await worker.send(Leaving())
        await front.without_members()


async def test_one_that_never_says_what_it_has_is_closed() -> None:
    async with listening(times=replace(QUICK, hello_s=0.05)) as front, front.worker() as worker:
        while not worker.websocket.closed:
            message = await worker.websocket.receive(PATIENT_S)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert "has not said what it has" in (message.extra or "")


async def test_one_that_is_silent_while_it_loads_is_closed() -> None:
    times = replace(QUICK, silent_s=0.05)
    async with listening(times=times) as front, front.worker() as worker:
        while not worker.websocket.closed:
            message = await worker.websocket.receive(PATIENT_S)
        assert "silent" in (message.extra or "")


async def test_one_that_loads_for_longer_than_a_request_may_take_is_pinged_and_stays() -> None:
    async with listening(times=QUICK, deadline_s=0.1) as front, front.worker() as worker:
        await worker.receive(Wanted)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 1.5  # the longest request of this server
        while loop.time() < until_s:
            await worker.send(Pong((await worker.receive(Ping)).number))
        await worker.send(HELLO)
        assert await worker.receive(Accepted) == Accepted("alice/desktop")


# What ends a connection


@pytest.mark.parametrize(
    "frame", [b"", b"garbage", b"\xff" * 100, bytes(1000)], ids=["empty", "garbage", "other", "zeros"]
)
async def test_a_frame_that_is_no_message_ends_the_connection(frame: bytes) -> None:
    async with listening() as front, front.worker() as joined, front.worker() as loading:
        await joined.join()
        await joined.websocket.send_bytes(frame)
        assert (await joined.refused()).reason is Refusal.DISTRUSTED
        await loading.receive(Wanted)
        await loading.websocket.send_bytes(frame)
        refused = await loading.refused()
        assert (refused.reason, "install the same version" in refused.message) == (Refusal.PROTOCOL, True)
        await front.without_members()


async def test_a_text_or_a_second_hello_ends_the_connection() -> None:
    async with listening() as front, front.worker() as first, front.worker() as second:
        await first.join()
        await first.websocket.send_str("hello")
        assert (await first.refused()).reason is Refusal.DISTRUSTED
        await second.join()
        await second.send(HELLO)
        assert "out of turn" in (await second.refused()).message


@pytest.mark.parametrize("message", [Leaving(), Scored(1, np.zeros((1, 1), np.float32), 1.0, 0.0)])
async def test_nothing_is_taken_of_one_that_has_not_said_what_it_has(message: Leaving | Scored) -> None:
    async with listening() as front, front.worker() as worker:
        await worker.receive(Wanted)
        await worker.send(message)
        assert "out of turn" in (await worker.refused()).message


async def test_a_reason_that_is_too_long_for_an_answer_ends_the_connection() -> None:
    async with listening() as front, front.worker() as worker:
        await worker.join()
        await worker.send(Failed(1, UnscannedReason.OVERLOADED, "x" * 1001, 0.0))
        assert "too long" in (await worker.refused()).message


async def test_a_frame_that_is_too_long_ends_the_connection() -> None:
    async with listening() as front, front.worker() as worker:
        await worker.join()
        await worker.websocket.send_bytes(bytes(MOST_FRAME_BYTES + 1))
        assert await worker.close_code() == 1009
        await front.without_members()


async def test_more_messages_than_were_asked_for_end_the_connection() -> None:
    async with listening() as front, front.worker() as flooding:
        await flooding.join()
        with contextlib.suppress(ConnectionError):
            for number in range(1000):
                await flooding.send(Pong(number))
        assert "messages where" in (await flooding.refused()).message
        await front.without_members()


@pytest.mark.parametrize("opcode", [aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG])
async def test_pings_without_an_end_end_the_connection(opcode: aiohttp.WSMsgType) -> None:
    async with listening() as front, front.worker() as flooding:
        await flooding.join()
        send = flooding.websocket.ping if opcode is aiohttp.WSMsgType.PING else flooding.websocket.pong
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await send()
        await front.without_members()


async def test_a_message_in_fragments_without_an_end_ends_the_connection() -> None:
    async with listening() as front, front.worker() as flooding:
        await flooding.join()
        transport: asyncio.Transport = flooding.websocket._response.connection.transport  # type: ignore[union-attr, assignment]
        begun, empty = b"\x02\x80\0\0\0\0", b"\x00\x80\0\0\0\0"
        transport.write(begun + empty * 2000)
        await front.without_members()


@pytest.mark.parametrize("is_same", [True, False])
async def test_one_that_comes_again_has_the_place_of_its_connection_that_is_cut(is_same: bool) -> None:
    """The process goes on, or its machine was started anew; the front has not noticed either."""
    hello = replace(HELLO, process="drawn at its start")
    async with listening(max_workers=1) as front, front.worker() as cut:
        await cut.join(hello)  # and answers nothing from now on
        async with front.worker() as again:
            accepted = await again.join(hello if is_same else replace(hello, process="drawn at another start"))
            assert accepted == Accepted("alice/desktop")
            assert len(front.fleet.members) == 1


async def test_one_that_is_there_keeps_the_last_place() -> None:
    async with listening(max_workers=1) as front, front.worker() as there:
        await there.join()
        async with at_work(there), front.worker() as other:
            assert (await other.refused()).reason is Refusal.FULL


async def test_a_worker_may_refuse_the_front(caplog: pytest.LogCaptureFixture) -> None:
    async with listening() as front, front.worker() as worker:
        await worker.receive(Wanted)
        await worker.send(Refused(Refusal.MODEL, "it has no such model"))
        await worker.close_code()
    assert "a worker of alice was not taken: it refuses: it has no such model" in caplog.text


async def test_a_lost_connection_hands_its_picture_over() -> None:
    async with listening() as front, front.worker() as first:
        await first.join()
        scoring = asyncio.create_task(front.fleet.score(0, VIEWS, call()))
        async with front.worker() as second:
            await second.join(named("other"))
            first.websocket._response.connection.transport.abort()  # type: ignore[union-attr]  # the cable is cut
            await second.score()
            assert (await scoring).worker == "alice/other"


async def test_a_front_that_stops_tells_its_workers_to_come_back() -> None:
    async with listening() as front, front.worker() as joined, front.worker() as loading:
        await joined.join()
        await loading.receive(Wanted)
        closing = asyncio.create_task(front.door.close())
        assert (await joined.refused()).reason is Refusal.STOPPING
        assert (await loading.refused()).reason is Refusal.STOPPING
        assert await joined.close_code() == 1000
        assert await loading.close_code() == 1000
        await closing
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await front.session.ws_connect(front.url, headers={"Authorization": f"Bearer {SECRET}"})
        assert refused.value.status == 503


async def test_joining_and_leaving_are_lines_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with listening() as front, front.worker() as worker:
        await worker.join()
        await worker.websocket.close()
        await front.without_members()
    assert "worker alice/desktop has joined: a GPU, Pictwarden 0.2.0, demo-shapes@" in caplog.text
    assert "worker alice/desktop has left: the connection has ended (1000)" in caplog.text
