"""Workers that are killed, paused, restarted, slow or late, and a front that is restarted."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.remote_parts.relay import Link, Way, relaying
from benchmarks.remote_parts.workers import accepted, work_at
from serve_app.remote.messages import Work
from tests.e2e.remote.conftest import Working
from tests.e2e.remote.front import (
    ACCEPTED,
    BLUE,
    RED,
    REJECTED,
    Front,
    Sent,
    all_scanned,
    config_of,
    require_sound,
    secret_of,
    serving,
    somebody,
)
from tests.e2e.remote.processes import Started, until
from tests.serve.conftest import ROOT

SAMPLES = ROOT / "serve_app" / "cli" / "samples"

HOME = Link(delay_s=0.02, bytes_per_s=20e6 / 8)
"""40 ms there and back, 20 Mbit/s each way."""

FAST_VIEW_S = 0.1


async def scan_until_handed_over(
    front: Front, workers: dict[str, Started], *, lost_after_s: float | None = None
) -> str:
    """Everything is scanned, while the worker that gets the pictures stands still, until another one has one of them.

    With ``lost_after_s`` it is killed then; else it goes on afterwards. Returns its owner.
    """
    scorers = front.process.said(" worker=")
    assert (await front.scan_one()).outcome.is_scanned
    await until(lambda: front.process.said(" worker=") > scorers, told=front.process.text)
    line = next(each for each in reversed(front.process.lines) if " worker=" in each)
    owner = line.partition(" worker=")[2].partition("/")[0]
    worker = workers[owner]
    handed_over = front.process.said("is handed over")
    has_happened = asyncio.Event()

    async def watch() -> None:
        await until(lambda: front.process.said("is handed over") > handed_over, told=front.process.text)
        has_happened.set()

    watching = asyncio.create_task(watch())
    worker.pause()
    if lost_after_s is not None:
        asyncio.get_running_loop().call_later(lost_after_s, worker.kill)
    sent = await front.scan_until(has_happened, per_s=20)
    await watching
    if lost_after_s is None:
        worker.go_on()
    # A picture that was late with one worker and is then lost with the next has had its second chance.
    assert sum(not each.outcome.is_scanned for each in sent) <= 1, [each.status for each in sent]
    return owner


async def test_a_worker_is_paused_and_killed_and_started_again(front: Front, working: Working) -> None:
    """Each time, the pictures that it has are with another one within their deadline."""
    trusted = front.process.said("is trusted")

    async def are_trusted(workers: int) -> None:
        await until(lambda: front.process.said("is trusted") >= trusted + workers, told=front.process.text)

    with contextlib.ExitStack() as running:
        workers = {owner: running.enter_context(working(front.remote_url, owner=owner)) for owner in ("home", "rented")}
        await are_trusted(2)
        await scan_until_handed_over(front, workers)
        assert all_scanned(await front.scan_all(20, per_s=20))
        owner = await scan_until_handed_over(front, workers, lost_after_s=0.3)
        assert all_scanned(await front.scan_all(20, per_s=20))
        workers[owner] = running.enter_context(working(front.remote_url, owner=owner))
        await are_trusted(3)
        await scan_until_handed_over(front, workers, lost_after_s=0.3)
        assert all_scanned(await front.scan_all(20, per_s=20))


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


async def test_pictures_that_are_sent_while_a_front_is_restarted(tmp_path: Path, working: Working) -> None:
    """What is inside is answered; what comes later meets nobody, and is sent again; nothing else is said of any."""
    config = config_of(tmp_path)
    sent: list[Sent] = []
    with contextlib.ExitStack() as stack:
        with serving(config, tmp_path) as front:
            stack.enter_context(working(front.remote_url))
            await front.has_worker()
            async with load.session() as client:
                inside = [asyncio.create_task(front.scan(client, colour)) for colour in (BLUE, RED) * 8]
                await asyncio.wait(inside, return_when=asyncio.FIRST_COMPLETED)
                front.process.terminate()
                assert all_scanned(require_sound(await asyncio.gather(*inside)))
                while front.process.is_running:
                    sent.append(await front.scan(client, RED))
        assert front.process.process.returncode == 0
        with serving(config, tmp_path) as front:
            await front.has_worker()
            assert all_scanned(await front.scan_all(20, per_s=40))
    require_sound([each for each in sent if each.outcome.is_answered])


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
