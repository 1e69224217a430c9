"""Workers that are killed, paused, restarted, slow or late, and a front that is restarted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.remote_parts.relay import Link, Way, relaying
from benchmarks.remote_parts.workers import accepted, work_at
from serve_app.remote.messages import Work
from tests.e2e.remote.conftest import Working
from tests.e2e.remote.front import ACCEPTED, REJECTED, Front, all_scanned, config_of, secret_of, serving, somebody
from tests.e2e.remote.processes import until
from tests.serve.conftest import ROOT

SAMPLES = ROOT / "serve_app" / "cli" / "samples"

HOME = Link(delay_s=0.02, bytes_per_s=20e6 / 8)
"""40 ms there and back, 20 Mbit/s each way."""

FAST_VIEW_S = 0.1


async def scan_during(front: Front, *moments: tuple[float, Callable[[], None]]) -> None:
    """Everything is scanned, while each thing happens at its moment.

    A picture that was late with one worker and is then lost with the next has had its second chance.
    """
    loop = asyncio.get_running_loop()
    for moment_s, do in moments:
        loop.call_later(moment_s, do)
    sent = await front.scan_all(50, per_s=20)
    assert sum(not each.outcome.is_scanned for each in sent) <= 1, [each.status for each in sent]


async def test_a_worker_is_paused_and_killed_and_started_again(front: Front, working: Working) -> None:
    before = front.process.said("has joined")

    def joined(workers: int) -> Callable[[], bool]:
        return lambda: front.process.said("has joined") >= before + workers

    with working(front.remote_url) as one, working(front.remote_url, owner="rented") as other:
        await until(joined(2), told=front.process.text)
        await scan_during(front, (0.5, other.pause), (1.5, other.go_on))
        await scan_during(front, (0.5, one.kill))
        with working(front.remote_url):
            await until(joined(3), told=front.process.text)
            await scan_during(front, (0.5, other.kill))


async def test_two_of_unequal_speed(front: Front) -> None:
    views_s = {"home": FAST_VIEW_S, "rented": 3 * FAST_VIEW_S}
    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for owner, view_s in views_s.items():
            connection = await stack.enter_async_context(accepted(front.remote_url, secret_of(owner), "one", view_s))
            tasks.append(asyncio.create_task(work_at(connection, view_s)))
        assert all_scanned(await front.scan_all(60, per_s=15))
    fast, slow = [await task for task in tasks]
    assert fast + slow >= 60
    assert fast > slow > 0


async def test_a_home_link_and_a_front_that_is_restarted(tmp_path: Path, working: Working) -> None:
    """With the demo model, whose name the worker has from the front alone."""
    config = config_of(tmp_path)
    args = config["applications"][0]["args"]
    del args["model"], args["policy"]
    args["preset"] = "demo"

    async def answers(front: Front) -> list[int]:
        samples = [(SAMPLES / name).read_bytes() for name in ("blue-triangle.webp", "red-triangle.png")]
        async with load.session() as client:
            return [(await load.post(client, front.url, body))[0] for body in samples]

    port = args["remote"]["port"]
    async with relaying(port, HOME) as relay:
        with working(relay.url, model=None) as worker:
            with serving(config, tmp_path) as front:
                await front.has_worker()
                assert await answers(front) == [ACCEPTED, REJECTED]
                assert relay.passed_bytes(Way.TO_WORKER) > 2 * 64 * 64 * 3
            with serving(config, tmp_path) as front:
                await front.has_worker()
                assert await answers(front) == [ACCEPTED, REJECTED]
            assert worker.is_running


@pytest.mark.parametrize("beside", [True, False])
async def test_a_worker_that_answers_after_everybody_has_gone(front: Front, beside: bool) -> None:
    """With another one the picture is handed over; alone it is refused in time. The late answer changes nothing."""
    async with contextlib.AsyncExitStack() as stack:
        slow = await stack.enter_async_context(accepted(front.remote_url, secret_of(somebody()), "late", 0.01))
        kept: list[Work] = []
        is_late = asyncio.Event()

        async def keep() -> None:
            while (message := await slow.received()) is not None:
                if isinstance(message, Work) and is_late.is_set():
                    kept.append(message)
                elif isinstance(message, Work):
                    await slow.send(slow.scored(message))

        keeping = asyncio.create_task(keep())
        await front.trusts(slow.name)
        is_late.set()
        sending = asyncio.create_task(front.scan_all(4, per_s=20))
        await until(lambda: kept, told=front.process.text)
        if beside:
            other = await stack.enter_async_context(accepted(front.remote_url, secret_of(somebody()), "prompt", 0.01))
            stack.callback(asyncio.create_task(work_at(other, 0.01)).cancel)
        sent = await sending
        assert all(each.outcome.is_scanned == beside for each in sent), sent
        for work in kept:
            await slow.send(slow.scored(work))
        if beside:
            assert all_scanned(await front.scan_all(4, per_s=20))
        keeping.cancel()
