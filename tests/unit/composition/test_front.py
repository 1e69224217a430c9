"""A service whose models are elsewhere: it answers without a worker, with one, and when that has left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import httpx
import numpy as np
import pytest

from serve_app import standalone
from serve_app.domain import ModelIdentity
from serve_app.http.guard import Guard
from serve_app.models.fake import FakeEngine
from serve_app.policy import Policies, Policy
from serve_app.remote.frames import from_front, packed
from serve_app.remote.messages import (
    PROTOCOL,
    Accepted,
    Hello,
    Offer,
    Ping,
    Pong,
    Refusal,
    Refused,
    Scored,
    Wanted,
    Work,
)
from serve_app.settings import parse_settings
from serve_app.wire import POP_PATH, WORKER_PATH

PATIENT_S = 60.0
SCAN_SECRET, WORKER_SECRET = "a-secret-for-pict-rs", "a-secret-for-a-desktop"


class Service:
    """A running front, with listeners of the test."""

    def __init__(self, policy: Policy, **args: Any) -> None:
        scan, worker = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        self.root = f"http://127.0.0.1:{scan.getsockname()[1]}"
        self.worker_url = f"http://127.0.0.1:{worker.getsockname()[1]}{WORKER_PATH}"
        self.stop, self.is_waiting, self.is_ready = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.has_work, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()
        own = {"model": {"source": "fake"}, "decode_workers": 1, "ledger": "memory", "remote": {}}
        settings = parse_settings(own | args)
        self.task = asyncio.create_task(
            standalone.serve(
                settings,
                Policies(policy),
                Guard([SCAN_SECRET], worker_secrets={"alice": WORKER_SECRET}),
                standalone.Sockets([scan], worker=[worker]),
                self.stop,
                self.on_ready,
                on_waiting=self.on_waiting,
            )
        )

    def on_ready(self, identity: ModelIdentity, ready_after_s: float) -> None:
        self._loop.call_soon_threadsafe(self.is_ready.set)

    def on_waiting(self) -> None:
        self._loop.call_soon_threadsafe(self.is_waiting.set)

    async def until(self, event: asyncio.Event) -> None:
        waiting = asyncio.create_task(event.wait())
        async with asyncio.timeout(PATIENT_S):
            await asyncio.wait({self.task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.task.done():
            self.task.result()

    async def scan(self, body: bytes) -> httpx.Response:
        async with httpx.AsyncClient(timeout=PATIENT_S, trust_env=False) as client:
            return await client.post(f"{self.root}/api/v1/scan/{SCAN_SECRET}", content=body)

    async def readiness(self) -> httpx.Response:
        async with httpx.AsyncClient(timeout=PATIENT_S, trust_env=False) as client:
            return await client.get(f"{self.root}/readyz")

    async def work(self) -> list[str]:
        """As a worker with the fake engine, until the front sends it away: what the front said last."""
        said: list[str] = []
        headers = {"Authorization": f"Bearer {WORKER_SECRET}"}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self.worker_url, headers=headers, max_msg_size=0) as websocket,
        ):
            engine = FakeEngine(("nothing",))
            async for frame in websocket:
                message = from_front(frame.data)
                said.append(type(message).__name__)
                match message:
                    case Wanted():
                        engine = FakeEngine(message.label_sets[0])
                        offers = tuple(Offer(engine.identity, {1: 0.001}) for _ in message.label_sets)
                        await websocket.send_bytes(packed(Hello(PROTOCOL, "0.2.0", "desktop", "a GPU", offers)))
                    case Ping(number):
                        await websocket.send_bytes(packed(Pong(number)))
                    case Work():
                        self.has_work.set()
                        await self.may_answer.wait()
                        values = engine.encode(message.pixels).astype(np.float32)
                        await websocket.send_bytes(packed(Scored(message.number, values, engine.logit_scale, 0.001)))
                    case Refused(reason):
                        assert reason is Refusal.STOPPING
                    case Accepted(name):
                        assert name == "alice/desktop"
        return said


@pytest.fixture
async def serve(make_policy: Callable[..., Policy]) -> AsyncIterator[Callable[..., Service]]:
    running: list[Service] = []

    def start(**args: Any) -> Service:
        running.append(Service(make_policy(), **args))
        return running[-1]

    yield start
    for each in running:
        each.stop.set()
        await asyncio.gather(each.task, return_exceptions=True)


Serve = Callable[..., Service]


async def test_a_front_answers_without_a_worker_and_with_one_and_again_without(
    serve: Serve, draw: Callable[..., bytes]
) -> None:
    service = serve()
    await service.until(service.is_waiting)
    assert (await service.readiness()).status_code == 503
    unscanned = await service.scan(draw())
    assert (unscanned.status_code, unscanned.json()["message"]) == (503, "no worker is connected")
    working = asyncio.create_task(service.work())
    await service.until(service.is_ready)
    ready = await service.readiness()
    assert (ready.status_code, ready.json()["model"]) == (200, str(FakeEngine(("a",)).identity))
    scanned = await service.scan(draw())
    assert scanned.json()["reason"] == "policy"
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    async with asyncio.timeout(PATIENT_S):
        while (await service.readiness()).status_code != 503:
            pass
    assert (await service.scan(draw(size=(50, 50)))).status_code == 503


async def test_without_a_worker_a_service_that_accepts_stores_pictures_for_later(
    serve: Serve, draw: Callable[..., bytes]
) -> None:
    service = serve(on_unscanned="accept")
    await service.until(service.is_waiting)
    assert (await service.scan(draw())).json()["reason"] == "unavailable"


async def test_no_upload_waits_for_a_worker_on_trial_while_one_of_fedi_safety_is_there(
    serve: Serve, draw: Callable[..., bytes]
) -> None:
    service = serve(remote={"fedi_safety": True})
    await service.until(service.is_waiting)
    service.may_answer.clear()
    working = asyncio.create_task(service.work())
    await service.until(service.has_work)  # its trial, which lasts for as long as it does not answer
    pop_url = service.worker_url.replace(WORKER_PATH, POP_PATH)
    asking = httpx.AsyncClient(headers={"apikey": WORKER_SECRET}, timeout=PATIENT_S, trust_env=False)
    async with asyncio.timeout(PATIENT_S), asking as pop:
        assert (await pop.get(pop_url)).status_code == 204
        scanning = asyncio.create_task(service.scan(draw(encoding="JPEG")))
        while (popped := await pop.get(pop_url)).status_code == 204:
            assert not scanning.done()
        name = popped.headers["Content-Disposition"].split("=", 1)[1]
        await pop.post(pop_url, json={"image": name, "is_csam": False, "is_nsfw": False})
        assert (await scanning).json()["model"] == "fedi-safety"
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_a_front_that_stops_answers_what_is_inside_and_sends_its_workers_away(
    serve: Serve, draw: Callable[..., bytes]
) -> None:
    service = serve()
    await service.until(service.is_waiting)
    working = asyncio.create_task(service.work())
    await service.until(service.is_ready)
    service.may_answer.clear()
    service.has_work.clear()  # which the probes of its trial had set
    scanning = asyncio.create_task(service.scan(draw()))
    await service.until(service.has_work)
    service.stop.set()
    await asyncio.sleep(0)
    service.may_answer.set()
    async with asyncio.timeout(PATIENT_S):
        assert (await scanning).json()["reason"] == "policy"
        await service.task
        said = await working
    assert (said[0], said[-1]) == ("Wanted", "Refused")
