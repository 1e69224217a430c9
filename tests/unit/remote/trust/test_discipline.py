"""A worker that is found wrong is dropped and reported, also where its connection or its owner's welcome has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta

import numpy as np
import pytest

from benchmarks.virtual_time import play
from serve_app.domain import Call, Deadline, LabelScores, LoadSignals, Views
from serve_app.remote.fleet import RefusedError
from serve_app.remote.messages import Refusal, Scored
from serve_app.remote.trust.reports import Distrusted, Suspended
from tests.unit.remote.trust.liars import Engine, Scene, Values, Worker, honest

ANSWERED_AFTER_S = 2.5


class Slow(Engine):
    """Takes its time for the next pictures."""

    slow_pictures = 0

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        if self.slow_pictures:
            self.slow_pictures -= 1
            await asyncio.sleep(ANSWERED_AFTER_S)
        return await super().score(views, call, load)


def constant(values: Values, _: object) -> Values:
    return np.full_like(values, 0.1)


def in_virtual_time(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    play(scene())


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_worker_that_ends_before_it_is_found_wrong_is_in_doubt_all_the_same(comes_back: bool) -> None:
    async def scene() -> None:
        async with Scene(probe_every=10**9, double_every=1) as scene:
            engine = Slow()
            scene.trust.compare_with([engine])
            liar = Worker()
            await scene.trusted(liar)
            assert liar.member is not None
            name, lies_since = liar.member.name, scene.now()
            liar.answers, engine.slow_pictures = constant, 2
            await scene.ask()
            await scene.ask()
            await asyncio.sleep(0.1)
            liar.member.lost("connection reset")
            again = Worker(honest)
            if comes_back:
                scene.join(again, "owner0")
            await asyncio.sleep(ANSWERED_AFTER_S)
            reports = scene.told.of(Distrusted)
            assert [each.worker for each in reports] == [name] * (1 + comes_back)
            assert reports[0].last_good_at is not None
            assert reports[0].last_good_at <= lies_since
            with pytest.raises(RefusedError):
                scene.trust.require_welcome("owner0")
            if comes_back:
                assert again.refused is not None
                assert again.refused.reason is Refusal.SUSPENDED
                assert f"the scores of {name} are wrong" in again.refused.message

    in_virtual_time(scene)


def test_a_machine_that_is_too_slow_keeps_no_other_one_of_its_owner_out() -> None:
    """The front drew one secret for all: the desktop that scores well may come back while the laptop is kept out."""

    async def scene() -> None:
        async with Scene() as scene:
            laptop, desktop = Worker(), Worker()
            laptop.is_overloaded = True
            assert scene.join(laptop, "worker", "laptop").name == "worker/laptop"
            scene.join(desktop, "worker", "desktop")
            await asyncio.sleep(500)
            (report,) = scene.told.of(Suspended)
            assert report.worker == "worker/laptop"
            scene.trust.require_welcome("worker")
            with pytest.raises(RefusedError, match="another machine needs another name"):
                scene.trust.require_welcome("worker", "laptop")
            assert desktop.member is not None
            desktop.member.lost("connection reset")
            scene.trust.require_welcome("worker", "desktop")
            again = scene.join(Worker(), "worker", "desktop")
            await asyncio.sleep(10)
            assert again.is_usable
            early = Worker()
            scene.join(early, "worker", "laptop")
            await asyncio.sleep(1)
            assert early.refused is not None, "one that is let in all the same does not stay"
            await asyncio.sleep(700)
            scene.trust.require_welcome("worker", "laptop")

    in_virtual_time(scene)


def test_an_owner_whose_workers_come_back_under_other_names_waits_as_well() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            await scene.trusted(Worker())
            for number in range(3):
                scene.trust.require_welcome("renaming", f"name-{number}")
                bad = Worker()
                bad.is_overloaded = True
                scene.join(bad, "renaming", f"name-{number}")
                await asyncio.sleep(550)
                assert bad.refused is not None
            with pytest.raises(RefusedError, match="under several names"):
                scene.trust.require_welcome("renaming", "another-name")
            await asyncio.sleep(601)
            scene.trust.require_welcome("renaming", "another-name")

    in_virtual_time(scene)


def test_a_wall_clock_that_is_set_back_hides_no_decision_of_a_liar() -> None:
    async def scene() -> None:
        async with Scene(with_engine=True, probe_every=10**9, double_every=10**9) as scene:
            liar = Worker()
            await scene.trusted(liar)
            assert liar.member is not None
            await asyncio.sleep(60)
            scene.set_back = timedelta(hours=1)
            lies_since = scene.now()
            liar.answers = constant
            await scene.pictures_for(10)
            liar.member.received(Scored(10**6, np.zeros((1, 4), np.float32), 100.0, 0.0))  # of no work
            await asyncio.sleep(1)
            (report,) = scene.told.of(Distrusted)
            assert report.last_good_at is not None
            assert report.last_good_at <= lies_since

    in_virtual_time(scene)


def test_a_lie_of_a_worker_whose_owner_is_kept_out_is_reported() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            await scene.trusted(Worker())
            late, liar = Worker(), Worker()
            for each in (late, liar):
                scene.join(each, "alice")
                await asyncio.sleep(5)
            assert late.member is not None
            assert liar.member is not None
            for _ in range(12):
                scene.trust.handed_over(late.member, Call("r", Deadline.after(8.0, scene.loop.time)), "late")
                await asyncio.sleep(1.5)
            assert [each.worker for each in scene.told.of(Suspended)] == [late.member.name]
            assert liar.member.is_usable
            scene.trust.require_welcome("alice")
            liar.member.received(Scored(10**6, np.zeros((1, 4), np.float32), 100.0, 0.0))  # of no work
            assert [each.worker for each in scene.told.of(Distrusted)] == [liar.member.name]
            await asyncio.sleep(601)
            with pytest.raises(RefusedError):
                scene.trust.require_welcome("alice")

    in_virtual_time(scene)
