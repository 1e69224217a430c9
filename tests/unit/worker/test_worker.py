"""A worker against a small front on loopback: what it is, what it answers, and when it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from serve_app.composition import scoring
from serve_app.composition.scoring import EngineScorers
from serve_app.domain import ConfigurationError, UnavailableError, UnscannedReason
from serve_app.models.engine import Engine
from serve_app.models.factory import open_engine, open_engines
from serve_app.models.fake import FakeEngine
from serve_app.remote.messages import PROTOCOL, Failed, Leaving, Ping, Pong, Refusal, Refused, Scored
from serve_app.settings import ModelSettings
from serve_app.worker import Worker, WorkerSettings
from serve_app.worker.backoff import Backoff
from serve_app.worker.connecting import connected
from serve_app.worker.ports import Socket
from tests.unit.worker.front import PATIENT_S, SECRET, Front, views, wanted, work

DEMO_LABELS = ("a red circle", "a blue square", "a photo")


class Running:
    """A worker as a task."""

    def __init__(self, url: str, secret: str = SECRET, **model: Any) -> None:
        self.stop = asyncio.Event()
        settings = WorkerSettings(url, secret, "desktop", ModelSettings(**model))
        # Nothing is waited for between two tries.
        self.worker = Worker(settings, self.stop, Backoff(lambda: 0.0))
        self.task = asyncio.create_task(self.worker.run())


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    front = Front()
    async with front.listening():
        yield front


@contextlib.asynccontextmanager
async def running(url: str, secret: str = SECRET, **model: Any) -> AsyncIterator[Running]:
    run = Running(url, secret, **model)
    try:
        yield run
    finally:
        run.task.cancel()
        await asyncio.gather(run.task, return_exceptions=True)
        await run.worker.close()


async def test_it_scores_as_its_engine_does(front: Front) -> None:
    async with running(front.url) as run:
        connection = await front.connection()
        hello = await connection.accept(wanted("embedded:demo-shapes", DEMO_LABELS, ("a red circle",)))
        engine = open_engine("embedded:demo-shapes", DEMO_LABELS)
        assert [offer.model for offer in hello.offers] == [engine.identity] * 2
        assert all(offer.pass_s[1] > 0 for offer in hello.offers)
        assert (hello.name, hello.protocol, bool(hello.device)) == ("desktop", PROTOCOL, True)
        pixels = views(3, engine.identity.image_size_px)
        await connection.send(work(1, pixels), work(2, pixels[:1], label_set=1))
        scored = {each.number: each for each in [await connection.next(Scored), await connection.next(Scored)]}
        expected = engine.encode(pixels)
        np.testing.assert_allclose(scored[1].values, expected, atol=1e-5)
        np.testing.assert_allclose(scored[2].values, expected[:1, :1], atol=1e-5)
        assert scored[1].logit_scale == pytest.approx(engine.logit_scale)
        assert 0 <= scored[1].held_s < 8
        run.stop.set()
        await connection.next(Leaving)
        await run.task


async def test_views_that_the_model_does_not_take_are_answered_and_harm_no_other(front: Front) -> None:
    async with running(front.url):
        connection = await front.connection()
        await connection.accept(wanted())
        await connection.send(work(1, views(1, 9)), work(2, views(1), label_set=5), work(3, views(1)))
        failed = [await connection.next(Failed) for _ in range(2)]
        assert {(each.number, each.reason) for each in failed} == {
            (1, UnscannedReason.UNAVAILABLE),
            (2, UnscannedReason.UNAVAILABLE),
        }
        assert (await connection.next(Scored)).number == 3


async def test_the_address_may_have_a_path(front: Front) -> None:
    async with running(f"{front.url}/prefix"):
        await (await front.connection()).accept(wanted())


async def test_a_wrong_secret_ends_it(front: Front) -> None:
    async with running(front.url, "a-secret-of-nobody") as run:
        with pytest.raises(ConfigurationError, match=r"refused the secret .*401.*PICTWARDEN_WORKER_SECRETS"):
            await run.task
    assert front.requests == 1


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (404, r"no Pictwarden takes workers .*404.*correct --url"),
        (200, r"no Pictwarden takes workers .*200.*WebSockets"),
        (403, r"refused the secret .*403"),
        (302, r"redirect to 'https://elsewhere\.example', which is not followed"),
    ],
)
async def test_so_does_an_address_that_is_none_of_a_front(front: Front, answers: int, message: str) -> None:
    front.answers = answers
    async with running(front.url) as run:
        with pytest.raises(ConfigurationError, match=message):
            await run.task
    assert front.requests == 1


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (429, "too many workers are connected already; stop one of yours"),
        (502, "the front is starting, or its reverse proxy has none"),
        (503, "the front is starting, or its reverse proxy has none"),
    ],
)
async def test_a_front_that_has_no_room_or_is_starting_is_asked_again(
    front: Front, answers: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    front.answers = answers
    async with running(front.url):
        await front.asked(3)
        front.answers = None
        await (await front.connection()).accept(wanted())
    assert f"answered {answers}: {why}; trying again in" in caplog.text


async def test_a_front_that_was_there_is_asked_again_whatever_stands_in_its_place(front: Front) -> None:
    async with running(front.url):
        first = await front.connection()
        await first.accept(wanted())
        front.answers, asked = 404, front.requests
        await first.socket.close()
        await front.asked(asked + 2)
        front.answers = None
        await (await front.connection()).accept(wanted())


@pytest.mark.parametrize("reason", [each for each in Refusal if each.is_final])
async def test_a_refusal_for_good_ends_it(front: Front, reason: Refusal) -> None:
    async with running(front.url) as run:
        await (await front.connection()).send(Refused(reason, "upgrade the worker"))
        with pytest.raises(ConfigurationError, match=f"refused \\({reason}\\): upgrade the worker"):
            await run.task


@pytest.mark.parametrize("reason", [each for each in Refusal if not each.is_final])
async def test_after_any_other_it_comes_again(front: Front, reason: Refusal) -> None:
    async with running(front.url):
        await (await front.connection()).send(Refused(reason, "sixteen are there"))
        await (await front.connection()).accept(wanted())


async def test_a_front_that_wants_what_it_cannot_have_is_refused(front: Front) -> None:
    async with running(front.url) as run:
        connection = await front.connection()
        await connection.send(wanted("./a-folder"))
        refused = await connection.next(Refused)
        assert refused.reason is Refusal.MODEL
        with pytest.raises(ConfigurationError, match="give your own copy of that model with --model"):
            await run.task


async def test_it_comes_back_with_the_same_models_when_the_front_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str | None] = []

    def opening(source: str | None, *args: Any, **options: Any) -> list[Engine]:
        opened.append(source)
        return open_engines(source, *args, **options)

    monkeypatch.setattr(scoring, "open_engines", opening)
    front = Front()
    async with contextlib.AsyncExitStack() as stack:
        async with front.listening():
            run = await stack.enter_async_context(running(front.url))
            await (await front.connection()).accept(wanted())
        async with front.listening(int(front.url.rpartition(":")[2])):
            connection = await front.connection()
            await connection.accept(wanted())
            await connection.send(work(1, views(2)))
            assert (await connection.next(Scored)).values.shape == (2, 2)
            assert not run.task.done()
    assert opened == ["fake"]


async def test_a_ping_is_answered(front: Front) -> None:
    async with running(front.url):
        connection = await front.connection()
        await connection.send(Ping(5))
        assert await connection.next(Pong) == Pong(5)


async def test_a_worker_that_is_stopped_answers_what_it_has(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    may_answer, encode = threading.Event(), FakeEngine.encode

    def encode_later(engine: FakeEngine, *given: Any) -> Any:
        may_answer.wait(PATIENT_S)
        return encode(engine, *given)

    async with running(front.url) as run:
        connection = await front.connection()
        await connection.accept(wanted("fake:1ms"))
        monkeypatch.setattr(FakeEngine, "encode", encode_later)
        await connection.send(work(1, views(1, 224)), Ping(1))
        await connection.next(Pong)  # the work before it is taken
        run.stop.set()
        await connection.next(Leaving)
        may_answer.set()
        assert (await connection.next(Scored)).number == 1
        await run.task
        async with asyncio.timeout(PATIENT_S):
            await connection.closed.wait()


async def test_it_can_be_stopped_between_two_tries() -> None:
    stop = asyncio.Event()
    settings = WorkerSettings("http://127.0.0.1:1", SECRET, "desktop", ModelSettings())

    def draw() -> float:
        stop.set()  # the wait begins
        return 1.0

    await Worker(settings, stop, Backoff(draw)).run()


async def test_it_can_be_stopped_while_it_connects() -> None:
    is_connecting, stop = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def connect(url: str, secret: str) -> AsyncIterator[Socket]:
        is_connecting.set()
        await asyncio.Event().wait()
        async with connected(url, secret) as link:
            yield link

    settings = WorkerSettings("https://front.example", SECRET, "desktop", ModelSettings())
    task = asyncio.create_task(Worker(settings, stop, connect=connect).run())
    await is_connecting.wait()
    stop.set()
    await task


async def test_a_device_that_is_stuck_ends_it(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(_: EngineScorers) -> None:
        raise UnavailableError("the device is stuck: its pass is 31 s late")

    async with running(front.url) as run:
        await (await front.connection()).accept(wanted())
        monkeypatch.setattr(EngineScorers, "require_alive", stuck)
        with pytest.raises(UnavailableError, match="the device is stuck"):
            await run.task
