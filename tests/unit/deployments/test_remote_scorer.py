"""The scorer's deployment without a model: workers connect to the replica, and the handles' methods are the same."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import numpy as np
import pytest

from deployments.autoscaling.replica_stats import ReplicaStats
from deployments.ray_environment import free_ports
from deployments.remote_scorer import RemoteScorer
from serve_app.domain import NO_FACES, LoadSignals, OtherVersionError, UnavailableError
from serve_app.domain.workers import WorkersHealth, WorkerState
from serve_app.policy import load_policy
from serve_app.remote.messages import Accepted, Wanted
from serve_app.settings import Settings, parse_settings
from serve_app.wire import WORKER_PATH
from tests.unit.http.workers.worker_client import HELLO, MODEL, PATIENT_S, PIXELS, SECRET, SETS, TestWorker, call


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PICTWARDEN_SECRETS", "a-secret-for-pict-rs")
    monkeypatch.setenv("PICTWARDEN_WORKER_SECRETS", f"alice:{SECRET}")
    return parse_settings({"model": {"source": "embedded:demo-shapes"}, "remote": {"port": free_ports(1)[0]}})


@pytest.fixture
async def replica(settings: Settings) -> AsyncIterator[RemoteScorer]:
    replica = RemoteScorer(settings, SETS, [])
    yield replica
    await replica.close()


@contextlib.asynccontextmanager
async def worker(port: int) -> AsyncIterator[TestWorker]:
    headers: Any = {"Authorization": f"Bearer {SECRET}"}
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENT_S):
        while True:
            try:
                opened = await session.ws_connect(f"http://127.0.0.1:{port}{WORKER_PATH}", headers=headers)
            except aiohttp.ClientConnectorError:
                continue  # the replica is about to listen
            break
        async with opened:
            yield TestWorker(opened)


async def test_it_scores_by_the_workers_that_connect(settings: Settings, replica: RemoteScorer) -> None:
    assert settings.remote is not None
    replica.check_health()
    with pytest.raises(UnavailableError, match="no worker is connected"):
        await replica.identify(SETS[0])
    async with worker(settings.remote.port) as connected:
        await connected.receive(Wanted)
        await connected.send(HELLO)
        assert await connected.receive(Accepted) == Accepted("alice/desktop")
        working = asyncio.create_task(connected.work())
        assert await replica.identify(SETS[0]) == HELLO.offers[0].model, "its trial is over"
        scores = await replica.score(SETS[0], PIXELS, NO_FACES.pixels, call(), LoadSignals())
        assert scores.worker == "alice/desktop"
        np.testing.assert_allclose(scores.values, PIXELS.mean(axis=(1, 2))[:, :2] / 255, rtol=1e-5)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_its_workers_are_shown_and_sent_away(settings: Settings, replica: RemoteScorer) -> None:
    assert settings.remote is not None
    assert list(await replica.connected_workers()) == []
    assert (await replica.workers_health(), await replica.workers_back_at()) == (WorkersHealth(), None)
    began_at = datetime.now(UTC)
    async with worker(settings.remote.port) as connected:
        await connected.receive(Wanted)
        await connected.send(HELLO)
        await connected.receive(Accepted)
        working = asyncio.create_task(connected.work())
        await replica.identify(SETS[0])
        (shown,) = await replica.connected_workers()
        assert pickle.loads(pickle.dumps(shown)) == shown, "as it travels to an ingress replica"
        assert (shown.name, shown.state) == ("alice/desktop", WorkerState.TRUSTED)
        async with asyncio.timeout(PATIENT_S):
            while (back_at := await replica.workers_back_at()) is None:  # noqa: ASYNC110 - it looks every second
                await asyncio.sleep(0.05)
        assert began_at <= back_at <= datetime.now(UTC)
        assert not await replica.dismiss_worker("alice", "an-admin")
        assert await replica.dismiss_worker("alice/desktop", "an-admin")
        assert list(await replica.connected_workers()) == []
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_workers_are_sent_the_heads_that_it_was_given(settings: Settings) -> None:
    heads = {f"head/spam@{'a' * 12}": b"the content of a file"}
    replica = RemoteScorer(settings, [(*SETS[0], *heads)], [], heads=heads)
    assert settings.remote is not None
    async with worker(settings.remote.port) as connected:
        assert (await connected.receive(Wanted)).heads == heads
    await replica.close()


async def test_labels_of_another_version_are_not_scored(replica: RemoteScorer) -> None:
    with pytest.raises(OtherVersionError):
        await replica.score(("other",), PIXELS, NO_FACES.pixels, call(), LoadSignals())


async def test_it_asks_for_no_more_replicas(replica: RemoteScorer) -> None:
    assert await replica.record_autoscaling_stats() == ReplicaStats(0.0, 0.0, 0.0, 8.0).as_metrics()


async def test_a_replica_whose_listener_has_ended_is_replaced(replica: RemoteScorer) -> None:
    await replica.close()
    with pytest.raises(UnavailableError, match="the listener for workers has ended"):
        replica.check_health()


async def test_a_policy_for_another_model_is_checked_there_too(settings: Settings) -> None:
    policy = load_policy("shipped:demo-red-triangle")
    replica = RemoteScorer(settings, [policy.labels], [policy])
    assert settings.remote is not None
    async with worker(settings.remote.port) as connected:
        await connected.receive(Wanted)
        offer = replace(HELLO.offers[0], model=replace(MODEL, name="another-model"))
        await connected.send(replace(HELLO, offers=(offer,)))
        assert "policy 'demo-red-triangle' is for the model" in (await connected.refused()).message
    await replica.close()
