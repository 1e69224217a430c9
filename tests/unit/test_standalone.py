"""The one process from within: what its start and its end do, with the fake engine and a real decode worker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from serve_app import standalone
from serve_app.admin_api import ADMIN_PATH
from serve_app.composition import local_stages, scoring
from serve_app.composition.local_stages import StartingExaminer, watch
from serve_app.composition.without_http import moderating
from serve_app.domain import Body, Call, Deadline, Lane, ModelError, ModelIdentity, PolicyError, UnavailableError
from serve_app.http.guard import Guard
from serve_app.media.workers import DecodeWorkers
from serve_app.models.factory import open_engines
from serve_app.models.fake import FakeEngine
from serve_app.moderation import Moderator
from serve_app.policy import Policies, Policy, parse_policy, shipped_text
from serve_app.settings import parse_settings
from serve_app.stages import Stage
from tests.unit.colour_classifier import ColourClassifier
from tests.unit.fake_classifier import fake_classifier
from tests.unit.metric_samples import labels, samples

SECRET = "a-secret-of-the-tests"
ADMIN_SECRET = "a-secret-of-an-admin"
MISSKEY_SECRET = "a-secret-of-misskey"
WORKER_SECRET = "a-secret-of-a-worker"
PATIENT_S = 60.0


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    before = set(psutil.Process().children())
    yield
    left = set(psutil.Process().children()) - before
    psutil.wait_procs(left, PATIENT_S)
    assert not [each for each in left if each.is_running()]


class Running:
    """The service as a task, and a client of it."""

    def __init__(self, policy: Policy, **args: Any) -> None:
        self.stop = asyncio.Event()
        self.is_ready = asyncio.Event()
        self.is_watched = asyncio.Event()
        self.identity: ModelIdentity | None = None
        self.working = 0
        self._loop = asyncio.get_running_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        admin = socket.create_server(("127.0.0.1", 0))
        self.admin_port = int(admin.getsockname()[1])
        metrics = socket.create_server(("127.0.0.1", 0))
        self.metrics_url = f"http://127.0.0.1:{metrics.getsockname()[1]}/metrics"
        self.root = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._beside = {"admin": admin, "metrics": metrics}
        workers = [socket.create_server(("127.0.0.1", 0))] if "remote" in args else []
        self.is_waiting = asyncio.Event()
        self.pop_url = f"http://127.0.0.1:{workers[0].getsockname()[1]}/api/v1/pop" if workers else ""
        settings = parse_settings({"model": {"source": "fake"}, "decode_workers": 1, "ledger": "memory"} | args)
        guard = Guard(
            [SECRET],
            admin_secrets={"alice": ADMIN_SECRET},
            misskey_secrets=[MISSKEY_SECRET],
            worker_secrets={"alice": WORKER_SECRET},
        )
        self.task = asyncio.create_task(
            standalone.serve(
                settings,
                Policies(policy),
                guard,
                standalone.Sockets([self._listener], [admin], [metrics], workers),
                self.stop,
                self.on_ready,
                self.is_watched.set,
                beside=self.beside,
                on_waiting=self.on_waiting,
            )
        )

    @contextlib.asynccontextmanager
    async def beside(self, *_: object) -> AsyncIterator[None]:
        assert self.identity is None, "its own work begins before a model is loaded, which may never be"
        self.working += 1
        yield
        self.working -= 1

    def on_ready(self, identity: ModelIdentity, ready_after_s: float) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert ready_after_s > 0
        self.identity = identity
        self._loop.call_soon_threadsafe(self.is_ready.set)

    def on_waiting(self) -> None:
        self._loop.call_soon_threadsafe(self.is_waiting.set)

    def close_listener(self, name: str) -> None:
        self._beside[name].close()

    async def scan(self, body: bytes) -> httpx.Response:
        async with httpx.AsyncClient(timeout=PATIENT_S, trust_env=False) as client:
            return await client.post(f"{self.root}/api/v1/scan/{SECRET}", content=body)

    async def detect(self, *bodies: bytes) -> httpx.Response:
        files = [(f"image{at}", (f"{at}.png", body, "image/png")) for at, body in enumerate(bodies)]
        headers = {"Authorization": f"Bearer {MISSKEY_SECRET}"}
        async with httpx.AsyncClient(timeout=PATIENT_S, trust_env=False) as client:
            return await client.post(f"{self.root}/misskey/v1/detect-images", files=files, headers=headers)

    async def page(self) -> bytes:
        async with httpx.AsyncClient(timeout=PATIENT_S, trust_env=False) as client:
            return (await client.get(self.metrics_url)).content

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=PATIENT_S, trust_env=False) as client:
            return await client.get(self.root + path)


@pytest.fixture
async def run(make_policy: Callable[..., Policy]) -> Any:
    running: list[Running] = []

    def run(policy: Policy | None = None, **args: Any) -> Running:
        running.append(Running(policy or make_policy(), **args))
        return running[-1]

    yield run
    for each in running:
        each.stop.set()
        await asyncio.gather(each.task, return_exceptions=True)


Run = Callable[..., Running]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Loading that waits: whether it has begun, and whether it may go on."""
    begun, may_go_on = threading.Event(), threading.Event()

    def loads(*args: Any, **options: Any) -> Any:
        begun.set()
        may_go_on.wait(PATIENT_S)
        return open_engines(*args, **options)

    monkeypatch.setattr(scoring, "open_engines", loads)
    yield begun, may_go_on
    may_go_on.set()


async def until(condition: threading.Event) -> None:
    assert await asyncio.to_thread(condition.wait, PATIENT_S)


async def test_its_metrics_tell_of_all_its_parts_from_the_start(
    run: Run, draw: Callable[..., bytes], held: Any
) -> None:
    begun, may_go_on = held
    service = run()
    async with asyncio.timeout(PATIENT_S):
        await until(begun)
        starting = samples(await service.page())
        assert starting["pictwarden_model_info"] == {labels(name="fake", digest=""): 1}
        assert "pictwarden_decode_workers" not in starting
        may_go_on.set()
        await service.is_ready.wait()
        assert (await service.scan(draw("white"))).status_code == 200
        found = samples(await service.page())
    assert sum(found["pictwarden_verdicts_total"].values()) == 1
    assert found["pictwarden_decode_workers"] == {labels(): 1}
    assert found["pictwarden_pass_views_count"] == {labels(): 1}
    stages = {dict(each)["stage"] for each in found["pictwarden_stage_seconds_count"]}
    assert stages == set(Stage)


async def test_it_starts_watches_answers_and_ends(run: Run, draw: Callable[..., bytes]) -> None:
    service = run()
    async with asyncio.timeout(PATIENT_S):
        await service.is_ready.wait()
        assert service.identity is not None
        assert service.identity.name == "fake"
        await service.is_watched.wait()
        assert service.working == 1
        assert (await service.scan(draw("white"))).status_code == 200
        assert (await service.scan(draw((255, 0, 0)))).status_code == 406
        service.stop.set()
        await service.task
    assert service.working == 0
    with pytest.raises(httpx.ConnectError):
        await service.get("/healthz")


@pytest.mark.parametrize("name", ["admin", "metrics"])
async def test_the_end_of_a_server_beside_it_ends_no_scanning(
    run: Run, draw: Callable[..., bytes], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = run()
    service.close_listener(name)  # before its server has begun
    async with asyncio.timeout(PATIENT_S):
        await service.is_ready.wait()
        assert (await service.scan(draw("white"))).status_code == 200
    assert not service.stop.is_set()
    assert [each for each in caplog.messages if "server has ended" in each] == [
        f"the {name} server has ended: bad file descriptor"
    ]


NSFW = "nsfw: {score: classifier, model: open-nsfw, output: nsfw}"
SFW = "sfw: {score: classifier, model: open-nsfw, output: sfw}"


async def test_a_classifier_alone_decides(run: Run, draw: Callable[..., bytes]) -> None:
    pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")
    when = "{all: [{concept: sfw, above: 0.5}, {not: {concept: nsfw, above: 0.5}}]}"
    rule = f"{{name: harmless, verdict: reject, when: {when}}}"
    text = f"policy: p\nconcepts: {{{NSFW}, {SFW}}}\nrules: [{rule}]\n"
    service = run(parse_policy(text, "p.yaml"), model={"source": None, "cpu_threads": 1})
    async with asyncio.timeout(PATIENT_S):
        await service.is_ready.wait()
        assert service.identity is not None
        assert (service.identity.name, service.identity.image_size_px) == ("open-nsfw", 224)
        answer = await service.scan(draw("white"))
        assert (answer.status_code, answer.json()["rule"]) == (406, "harmless")
        assert answer.json()["scores"]["sfw"] > 0.5


@pytest.mark.slow
async def test_the_demo_model_and_a_classifier_decide_together(run: Run) -> None:
    pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")
    text = shipped_text("demo-red-triangle").replace("\nconcepts:\n", f"\nconcepts:\n  {NSFW}\n")
    rule = "  - {name: nsfw, verdict: reject, when: {concept: nsfw, above: 0.8}}\n"
    service = run(parse_policy(text + rule, "p.yaml"), model={"source": "embedded:demo-shapes", "cpu_threads": 1})
    async with asyncio.timeout(PATIENT_S):
        await service.is_ready.wait()
        assert service.identity is not None
        assert service.identity.name == "demo-shapes + open-nsfw"
        triangle = resources.files("serve_app.cli").joinpath("samples/red-triangle.png").read_bytes()
        answer = (await service.scan(triangle)).json()
        assert answer["rule"] == "red-triangle"
        assert answer["scores"].keys() == {"red", "triangle", "nsfw"}
        assert answer["scores"]["nsfw"] < 0.5


async def test_an_admin_request_that_lasts_does_not_delay_the_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standalone, "DRAIN_S", 0.1)
    service = run()
    head = (
        f"POST {ADMIN_PATH}/lists/import?bank=ours&format=csv HTTP/1.1\r\nHost: test\r\n"
        f"Authorization: Bearer {ADMIN_SECRET}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    )
    async with asyncio.timeout(PATIENT_S):
        await service.is_ready.wait()
        reader, writer = await asyncio.open_connection("127.0.0.1", service.admin_port)
        writer.write(head.encode())
        assert b"100 Continue" in await reader.readline()  # it is read, and its body never ends
        service.stop.set()
        await service.task
    writer.close()


async def test_what_comes_before_the_model_is_refused_at_once(
    run: Run, held: tuple[threading.Event, threading.Event], draw: Callable[..., bytes]
) -> None:
    begun, may_go_on = held
    service = run()
    await until(begun)
    answered = await service.scan(draw("white"))
    assert (answered.status_code, answered.json()["reason"]) == (503, "unavailable")
    assert answered.headers["retry-after"]
    assert "starting" in answered.json()["message"]
    assert (await service.get("/healthz")).status_code == 200
    assert (await service.get("/readyz")).status_code == 503
    may_go_on.set()
    async with asyncio.timeout(PATIENT_S):
        await service.is_ready.wait()
    assert (await service.scan(draw("white"))).status_code == 200
    assert (await service.get("/readyz")).status_code == 200


async def test_misskey_is_answered_once_the_model_is_warm(
    run: Run, monkeypatch: pytest.MonkeyPatch, draw: Callable[..., bytes]
) -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def open_classifiers(_: str, label_sets: Sequence[Sequence[str]], **__: object) -> list[FakeEngine]:
        begun.set()
        may_go_on.wait(PATIENT_S)
        return [ColourClassifier(labels) for labels in label_sets]

    monkeypatch.setattr(scoring, "open_engines", open_classifiers)
    service = run(misskey={"classifier": "nsfwjs"})
    await until(begun)
    assert (await service.detect(draw("red"))).status_code == 503
    assert (await service.get("/misskey/health")).json()["reason"] == "model_unavailable"
    may_go_on.set()
    async with asyncio.timeout(PATIENT_S):
        await service.is_ready.wait()
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    answered = (await service.detect(*(draw(each, (299, 299)) for each in colours))).json()
    likeliest = [each["predictions"][0]["className"] for each in answered["result"]["results"]]
    assert likeliest == ["Porn", "Neutral", "Drawing"]
    assert (await service.get("/misskey/health")).json() == {"status": "ok"}
    assert (await service.scan(draw(colours[0]))).status_code == 406, "uploads are judged as ever"


async def test_without_misskeys_classifier_it_does_not_start_and_says_how_to_get_it(run: Run, tmp_path: Path) -> None:
    service = run(misskey={"classifier": "nsfwjs"}, model={"source": "fake", "cache_folder": str(tmp_path)})
    async with asyncio.timeout(PATIENT_S):
        with pytest.raises(ModelError, match="pictwarden model fetch nsfwjs"):
            await service.task


async def test_what_comes_before_the_model_is_let_through_where_that_is_wanted(
    run: Run, held: tuple[threading.Event, threading.Event], draw: Callable[..., bytes]
) -> None:
    service = run(on_unscanned="accept")
    await until(held[0])
    answered = await service.scan(draw("white"))
    assert (answered.status_code, answered.json()["verdict"]) == (200, None)
    assert answered.json()["reason"] == "unavailable"


async def test_a_stop_while_the_model_loads_waits_for_nothing_and_what_comes_late_is_closed(
    run: Run, held: tuple[threading.Event, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, end = threading.Event(), DecodeWorkers.close

    def close(workers: DecodeWorkers) -> None:
        end(workers)
        closed.set()

    monkeypatch.setattr(DecodeWorkers, "close", close)
    service = run()
    await until(held[0])
    service.stop.set()
    async with asyncio.timeout(PATIENT_S):
        await service.task
    assert not service.is_ready.is_set()
    held[1].set()
    assert closed.wait(PATIENT_S), "while the loop does nothing: nobody waits for what comes late"


async def test_a_model_that_cannot_be_had_is_the_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ModelError("there is no such model")

    monkeypatch.setattr(scoring, "open_engines", fails)
    service = run()
    async with asyncio.timeout(PATIENT_S):
        with pytest.raises(ModelError, match="no such model"):
            await service.task
    assert service.stop.is_set()


async def test_a_model_that_is_not_the_policys_is_the_end(make_policy: Callable[..., Policy]) -> None:
    service = Running(make_policy(**{"model: fake": "model: another"}))
    async with asyncio.timeout(PATIENT_S):
        with pytest.raises(PolicyError, match="another"):
            await service.task
    assert not service.is_ready.is_set()


async def test_a_start_that_shows_nothing_is_the_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def shows_nothing(*_: Any) -> None:
        raise UnavailableError("no sample was scanned")

    monkeypatch.setattr(Running, "on_ready", shows_nothing)
    async with asyncio.timeout(PATIENT_S):
        with pytest.raises(UnavailableError, match="no sample"):
            await run().task


async def test_a_device_that_is_stuck_ends_the_service_and_what_is_inside_is_answered(
    run: Run, monkeypatch: pytest.MonkeyPatch, draw: Callable[..., bytes]
) -> None:
    stuck, may_go_on = threading.Event(), threading.Event()

    def hangs(engine: FakeEngine, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
        stuck.set()
        may_go_on.wait(PATIENT_S)
        raise AssertionError("nobody waits for it any more")

    monkeypatch.setattr(FakeEngine, "encode", hangs)
    monkeypatch.setattr(scoring, "_HUNG_AFTER_S", 0.05)
    service = run(deadline_s=5.0)
    try:
        async with asyncio.timeout(PATIENT_S):
            await service.is_ready.wait()
            answering = asyncio.create_task(service.scan(draw("white")))
            await until(stuck)
            with pytest.raises(UnavailableError, match="stuck"):
                await service.task
            answered = await answering
    finally:
        may_go_on.set()
    assert (answered.status_code, answered.json()["reason"]) == (503, "deadline")


async def test_what_is_inside_when_it_is_stopped_is_answered(
    run: Run, monkeypatch: pytest.MonkeyPatch, draw: Callable[..., bytes]
) -> None:
    inside, may_go_on = threading.Event(), threading.Event()
    encode = FakeEngine.encode

    def waits(engine: FakeEngine, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
        inside.set()
        may_go_on.wait(PATIENT_S)
        return encode(engine, uploaded)

    monkeypatch.setattr(FakeEngine, "encode", waits)
    service = run()
    async with asyncio.timeout(PATIENT_S):
        await service.is_ready.wait()
        answering = asyncio.create_task(service.scan(draw("white")))
        await until(inside)
        service.stop.set()
        with contextlib.suppress(httpx.ConnectError):
            while True:
                await service.get("/healthz")
        may_go_on.set()
        answered = await answering
        await service.task
    assert (answered.status_code, answered.headers["connection"]) == (200, "close")


class Alive:
    """Says so a number of times, and then no more."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.asked = 0

    def require(self) -> None:
        self.asked += 1
        if self.asked > self.times:
            raise UnavailableError("it has ended")


def alone(policy: Policy, **args: Any) -> contextlib.AbstractAsyncContextManager[Moderator]:
    """The chain of a command that scans by itself."""
    settings = parse_settings({"model": {"source": "fake"}, "decode_workers": 1, "ledger": "memory"} | args)
    return moderating(settings, Policies(policy))


async def test_a_command_that_is_interrupted_while_its_model_loads_waits_for_nothing(
    make_policy: Callable[..., Policy], held: tuple[threading.Event, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, end = threading.Event(), DecodeWorkers.close

    def close(workers: DecodeWorkers) -> None:
        end(workers)
        closed.set()

    async def command() -> None:
        async with alone(make_policy()):
            raise AssertionError("its model is not loaded")

    monkeypatch.setattr(DecodeWorkers, "close", close)
    running = asyncio.create_task(command())
    await until(held[0])
    running.cancel()
    async with asyncio.timeout(PATIENT_S):
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.get_running_loop().shutdown_default_executor()
    assert not closed.is_set()
    held[1].set()
    assert closed.wait(PATIENT_S), "while the loop does nothing: nobody waits for what comes late"


async def test_a_command_whose_device_is_stuck_ends(
    make_policy: Callable[..., Policy], monkeypatch: pytest.MonkeyPatch, draw: Callable[..., bytes]
) -> None:
    may_go_on = threading.Event()

    async def command() -> None:
        async with alone(make_policy(), deadline_s=2.0) as moderator:
            while True:
                call = Call("a-request", Deadline.after(2.0), Lane.BACKGROUND)
                await moderator.moderate(Body.of(draw("white")), call)

    monkeypatch.setattr(FakeEngine, "encode", lambda *_: may_go_on.wait(PATIENT_S))
    monkeypatch.setattr(scoring, "_HUNG_AFTER_S", 0.05)
    monkeypatch.setattr(local_stages, "_CHECK_EVERY_S", 0.01)
    try:
        async with asyncio.timeout(PATIENT_S):
            with pytest.raises(UnavailableError, match="stuck"):
                await command()
    finally:
        may_go_on.set()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_command_that_is_cancelled_while_all_is_well_is_cancelled(make_policy: Callable[..., Policy]) -> None:
    begun = asyncio.Event()

    async def command() -> None:
        async with alone(make_policy()):
            begun.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(command())
    async with asyncio.timeout(PATIENT_S):
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_watch_tells_that_all_is_well_until_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_stages, "_CHECK_EVERY_S", 0.001)
    alive, told = Alive(3), list[int]()
    with pytest.raises(UnavailableError, match="has ended"):
        await watch(alive.require, asyncio.Event(), lambda: told.append(alive.asked))
    assert told == [1, 2, 3]


async def test_a_watch_ends_at_once_when_it_is_to() -> None:
    stop = asyncio.Event()
    watching = asyncio.create_task(watch(Alive(1).require, stop, stop.set))
    async with asyncio.timeout(PATIENT_S):
        await watching


async def test_an_examiner_without_stages_is_not_there() -> None:
    examiner, deadline = StartingExaminer(("red",)), Deadline.after(8.0)
    assert examiner.model is None
    with pytest.raises(UnavailableError, match="starting"):
        await examiner.identify(deadline)
    with pytest.raises(UnavailableError, match="starting"):
        await examiner.examine(Body(b"x", "0" * 64), Call("a-request", deadline, Lane.LIVE))


async def test_a_front_without_a_worker_refuses_what_it_cannot_have_scanned(
    run: Run, draw: Callable[..., bytes]
) -> None:
    service = run(remote={})
    await service.is_waiting.wait()
    answer = await service.scan(draw("white"))
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert answer.json()["message"] == "no worker is connected"
    assert not service.is_ready.is_set()


async def test_a_front_with_the_models_of_its_workers_is_ready_without_one(
    run: Run, draw: Callable[..., bytes]
) -> None:
    service = run(remote={"fallback": "cpu"})
    await service.is_ready.wait()
    answers = [await service.scan(draw(colour)) for colour in ("white", (255, 0, 0))]
    assert [each.status_code for each in answers] == [200, 406]
    assert {each.json()["policy"].partition("@")[0] for each in answers} == {"colours"}


async def test_a_front_with_a_classifier_lets_through_what_is_scanned_later(
    run: Run, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Sequence[tuple[str, ...]]] = []

    def classifier(source: str | None, label_sets: Sequence[tuple[str, ...]], **options: Any) -> list[FakeEngine]:
        opened.append(label_sets)
        return [fake_classifier("open-nsfw", labels) for labels in label_sets]

    monkeypatch.setattr(scoring, "open_engines", classifier)
    service = run(remote={"fallback": "classifier"})
    await service.is_waiting.wait()
    assert opened == [[("open-nsfw/nsfw",)]], "the front has no other model"
    answer = await service.scan(draw("white"))
    told = answer.json()
    assert (answer.status_code, told["verdict"], told["reason"]) == (200, None, "unavailable")
    assert (told["model"].partition("@")[0], told["policy"].partition("@")[0]) == ("open-nsfw", "nsfw")
    assert not service.is_ready.is_set()


@pytest.mark.parametrize(("is_csam", "status"), [(False, 200), (True, 406)])
async def test_the_workers_of_fedi_safety_decide_at_a_front_that_lets_them(
    run: Run, draw: Callable[..., bytes], is_csam: bool, status: int
) -> None:
    service, picture = run(remote={"fedi_safety": True}), draw("white", encoding="JPEG")
    await service.is_waiting.wait()
    async with httpx.AsyncClient(headers={"apikey": WORKER_SECRET}, trust_env=False) as worker:
        assert (await worker.get(service.pop_url)).status_code == 204
        scanning = asyncio.create_task(service.scan(picture))
        while (popped := await worker.get(service.pop_url)).status_code == 204:
            assert not scanning.done()
        assert popped.content == picture
        name = popped.headers["Content-Disposition"].split("=", 1)[1]
        said = {"image": name, "is_csam": is_csam, "is_nsfw": is_csam}
        assert (await worker.post(service.pop_url, json=said)).status_code == 201
    answer = await scanning
    told = answer.json()
    assert (answer.status_code, told["model"]) == (status, "fedi-safety")
    assert told["policy"].startswith("fedi-safety@")
    assert "A worker of fedi-safety decided" in told["notice"]


async def test_a_front_does_not_let_the_workers_of_fedi_safety_in_unasked(run: Run) -> None:
    service = run(remote={})
    await service.is_waiting.wait()
    async with httpx.AsyncClient(headers={"apikey": WORKER_SECRET}, trust_env=False) as worker:
        assert (await worker.get(service.pop_url)).status_code == 404


async def test_a_front_whose_fallback_cannot_be_had_does_not_start(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "open_engines", _no_model)
    service = run(remote={"fallback": "cpu"})
    with pytest.raises(ModelError, match="no such model"):
        await service.task


def _no_model(*_: Any, **__: Any) -> Any:
    raise ModelError("no such model")
