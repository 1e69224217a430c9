"""A worker against a small front on loopback: what it is, what it answers, and when it comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from serve_app.models.factory import open_engine
from serve_app.remote.backoff import Backoff
from serve_app.remote.messages import (
    PROTOCOL,
    Leaving,
    Scored,
)
from serve_app.settings import ModelSettings
from serve_app.worker import Worker, WorkerSettings
from tests.unit.remote.front import SECRET, Front, views, wanted, work

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
        size_px = engine.identity.image_size_px
        assert [offer.model for offer in hello.offers] == [engine.identity] * 2
        assert all(offer.pass_s[1] > 0 for offer in hello.offers)
        assert (hello.name, hello.protocol, bool(hello.device)) == ("desktop", PROTOCOL, True)
        pixels = views(3, size_px)
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
