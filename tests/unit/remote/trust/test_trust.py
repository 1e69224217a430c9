"""Trust in workers: liars are found, honest ones are left alone, and a probe looks like any picture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.virtual_time import play
from serve_app.domain import Call, Deadline, UnavailableError
from serve_app.remote.fleet import RefusedError
from serve_app.remote.messages import PROTOCOL, Hello, Offer, Refusal, Work
from serve_app.remote.trust.reports import Disagreed, Distrusted, PassedProbe, Suspended
from tests.unit.remote.trust.liars import (
    DEADLINE_S,
    MODEL,
    NEVER,
    Lie,
    Scene,
    Values,
    Worker,
    honest,
    in_precision,
    scores_of,
)


class Stale:
    """Answers with the scores of the picture before."""

    def __init__(self) -> None:
        self._before = scores_of(np.full((1, 32, 32, 3), 90, np.uint8))

    def __call__(self, values: Values, work: Work) -> Values:
        before, self._before = self._before, values
        return np.resize(before, values.shape)


def constant(values: Values, _: Work) -> Values:
    return np.full_like(values, 0.1)


def shuffled(values: Values, _: Work) -> Values:
    return np.roll(values, 1, axis=1)


def other_model(_: Values, work: Work) -> Values:
    return scores_of(work.pixels, weights=2)


def accepts_all(values: Values, _: Work) -> Values:
    """Nothing looks like what is rejected."""
    return np.minimum(values, [-0.1, 1, 1, 1]).astype(np.float32)


LIARS: dict[str, Callable[[], Lie]] = {
    "constant": lambda: constant,
    "stale": Stale,
    "shuffled": lambda: shuffled,
    "other model": lambda: other_model,
}


def in_virtual_time(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    play(scene())


@pytest.mark.parametrize("lie", LIARS.values(), ids=LIARS)
@pytest.mark.parametrize("with_engine", [True, False], ids=["engine", "two workers"])
def test_a_liar_never_passes_its_trial(lie: Callable[[], Lie], with_engine: bool) -> None:
    async def scene() -> None:
        for seed in range(3):
            async with Scene(seed=seed, with_engine=with_engine) as scene:
                if not with_engine:
                    await scene.trusted(Worker(), Worker())
                liar = Worker(lie())
                member = scene.join(liar, "stranger")
                await asyncio.sleep(10)
                (report,) = scene.told.of(Distrusted)
                assert (report.worker, report.owner, report.last_good_at) == (member.name, "stranger", None)
                assert member.has_ended
                assert liar.refused is not None
                assert liar.refused.reason is Refusal.DISTRUSTED
                assert len(liar.works) <= 24

    in_virtual_time(scene)


@pytest.mark.parametrize("lie", LIARS.values(), ids=LIARS)
@pytest.mark.parametrize("beside", ["engine", "two workers", "nobody"])
def test_a_worker_that_begins_to_lie_is_dropped_and_its_decisions_since_are_in_doubt(
    lie: Callable[[], Lie], beside: str
) -> None:
    async def scene() -> None:
        async with Scene(with_engine=beside == "engine") as scene:
            liar = Worker()
            await scene.trusted(liar, *[Worker(), Worker()][: 2 * (beside == "two workers")])
            await scene.pictures_for(60)
            liar.answers = lie()
            lies_since = scene.now()
            await scene.pictures_for(600, until=Distrusted)
            (report,) = scene.told.of(Distrusted)
            assert liar.member is not None
            assert report.worker == liar.member.name
            assert report.last_good_at is not None
            assert report.last_good_at <= lies_since < report.at
            assert not scene.told.of(Disagreed)

    in_virtual_time(scene)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    errors=st.lists(st.sampled_from([0.0, 1e-4, 1e-3, 3e-3, 0.01]), min_size=1, max_size=4),
    with_engine=st.booleans(),
)
def test_honest_workers_of_any_precision_are_never_suspected(seed: int, errors: list[float], with_engine: bool) -> None:
    async def scene() -> None:
        async with Scene(seed=seed, with_engine=with_engine, double_every=5) as scene:
            await scene.trusted(*[Worker(in_precision(error, seed)) for error in errors])
            await scene.pictures_for(100)
            assert len(scene.fleet.members) == len(errors)
            assert set(map(type, scene.told.reports)) == {PassedProbe}
            assert sum(report.ends_trial for report in scene.told.of(PassedProbe)) == len(errors)

    in_virtual_time(scene)


def test_a_probe_is_a_work_like_those_of_pictures() -> None:
    async def scene() -> None:
        async with Scene(probe_every=2) as scene:
            worker = Worker()
            await scene.trusted(worker)
            del worker.works[:]
            pictures = {scores.values.tobytes() for scores in await scene.pictures_for(400)}
            works = worker.works
            of_pictures = [work for work in works if scores_of(work.pixels).tobytes() in pictures]
            probes = [work for work in works if scores_of(work.pixels).tobytes() not in pictures]
            assert len(probes) > 100
            assert [work.number for work in works] == list(range(works[0].number, works[-1].number + 1))
            for what in (
                lambda work: (work.pixels.shape, work.pixels.dtype, work.faces.shape, work.faces.dtype),
                lambda work: (work.lane, work.label_set),
            ):
                assert {what(work) for work in probes} == {what(work) for work in of_pictures}
            left_s = [[work.remaining_s for work in each] for each in (of_pictures, probes)]
            for each in left_s:
                np.testing.assert_allclose(each, DEADLINE_S - 0.2, atol=0.1)
            assert len({work.pixels.tobytes() for work in works}) == len(works), "none is sent twice"

    in_virtual_time(scene)


def test_a_worker_on_trial_gets_no_picture() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            worker = Worker()
            await scene.trusted(worker)
            waiting = Worker()
            waiting.is_overloaded = True
            member = scene.join(waiting, "stranger")
            scores = await scene.pictures_for(100)
            assert member.is_on_trial
            assert worker.member is not None
            assert {each.worker for each in scores} == {worker.member.name}

    in_virtual_time(scene)


def test_two_that_disagree_are_both_on_trial_until_one_is_gone() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            one, other = Worker(), Worker()
            await scene.trusted(one, other)
            other.answers = accepts_all
            await scene.pictures_for(300, until=Disagreed)
            (report,) = scene.told.of(Disagreed)
            assert one.member is not None
            assert other.member is not None
            assert set(report.workers) == {one.member.name, other.member.name}
            assert report.on_trial
            assert "Nobody is there to say which of them is right" in report.why
            assert one.member.is_on_trial
            assert other.member.is_on_trial
            asked_s = scene.loop.time()
            with pytest.raises(UnavailableError):
                await scene.ask()
            assert scene.loop.time() == asked_s, "an upload waits for what only a person can end"
            other.member.lost("its secret was removed")
            await scene.ask()
            await asyncio.sleep(60)
            assert not one.member.is_on_trial

    in_virtual_time(scene)


def test_two_that_disagree_and_then_agree_are_trusted_again() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            one, other = Worker(), Worker()
            await scene.trusted(one, other)
            other.answers = other_model
            await scene.pictures_for(300, until=Disagreed)
            assert scene.told.of(Disagreed)
            other.answers = honest
            await asyncio.sleep(120)
            assert not any(member.is_on_trial for member in scene.fleet.members)
            (report,) = scene.told.of(Disagreed)
            released = [each.worker for each in scene.told.of(PassedProbe) if each.ends_trial and each.at > report.at]
            assert sorted(released) == sorted(report.workers)

    in_virtual_time(scene)


def test_a_third_worker_says_who_of_two_lies() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            first, second = Worker(other_model), Worker()
            await scene.trusted(first)
            scene.join(second, "second")
            await asyncio.sleep(30)
            assert scene.told.of(Disagreed), "the first worker of all is held to what it says itself"
            third = Worker()
            scene.join(third, "third")
            await asyncio.sleep(300)
            assert first.refused is not None
            assert first.refused.reason is Refusal.DISTRUSTED
            assert [member.is_on_trial for member in scene.fleet.members] == [False, False]

    in_virtual_time(scene)


def test_an_owner_whose_worker_was_dropped_waits_before_it_may_come_back() -> None:
    async def scene() -> None:
        async with Scene(with_engine=True) as scene:
            scene.join(Worker(constant), "stranger")
            await asyncio.sleep(10)
            with pytest.raises(RefusedError, match="a worker with the secret of stranger was sent away"):
                scene.trust.require_welcome("stranger")
            scene.trust.require_welcome("home")
            again = Worker()
            scene.join(again, "stranger")
            await asyncio.sleep(1)
            assert again.refused is not None
            assert again.refused.reason is Refusal.SUSPENDED
            assert not again.refused.reason.is_final
            await asyncio.sleep(1800)
            scene.trust.require_welcome("stranger")

    in_virtual_time(scene)


@pytest.mark.parametrize("with_third", [True, False])
def test_doubles_show_who_lies_about_pictures_alone(with_third: bool) -> None:
    def about_flat_pictures(values: Values, work: Work) -> Values:
        is_flat = np.ptp(work.pixels.reshape(len(work.pixels), -1, 3), axis=1).max() == 0
        return accepts_all(values, work) if is_flat else values

    async def scene() -> None:
        async with Scene(double_every=5) as scene:
            liar, *_ = workers = [Worker() for _ in range(2 + with_third)]
            await scene.trusted(*workers)
            liar.answers = about_flat_pictures
            await scene.pictures_for(200)
            assert liar.member is not None
            if with_third:
                (report,) = scene.told.of(Distrusted)
                assert report.worker == liar.member.name
                assert "over a picture" in report.why
            else:
                reports = scene.told.of(Disagreed)
                assert {name for report in reports for name in report.workers} == {
                    member.name for member in scene.fleet.members
                }
                assert all(str(report.request_id).startswith("picture-") and not report.on_trial for report in reports)

    in_virtual_time(scene)


def test_the_engine_doubles_where_there_is_one_worker() -> None:
    async def scene() -> None:
        async with Scene(with_engine=True, probe_every=NEVER, double_every=5) as scene:
            liar = Worker()
            await scene.trusted(liar)
            liar.answers = shuffled
            await scene.pictures_for(100)
            (report,) = scene.told.of(Distrusted)
            assert "the front's engine, over a picture" in report.why

    in_virtual_time(scene)


def test_a_wrong_logit_scale_is_a_lie_too() -> None:
    async def scene() -> None:
        async with Scene(with_engine=True) as scene:
            liar = Worker()
            liar.logit_scale = 50.0
            scene.join(liar)
            await asyncio.sleep(10)
            (report,) = scene.told.of(Distrusted)
            assert "a logit scale of 50, not 100" in report.why

    in_virtual_time(scene)


def test_a_first_worker_that_scores_all_alike_is_found_without_anybody_else() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            scene.join(Worker(constant))
            await asyncio.sleep(10)
            (report,) = scene.told.of(Distrusted)
            assert "it scores all pictures alike" in report.why

    in_virtual_time(scene)


def test_a_worker_that_refuses_its_pictures_is_suspended_if_another_is_there() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            good, bad = Worker(), Worker()
            await scene.trusted(good, bad)
            bad.is_overloaded = True
            await scene.pictures_for(120)
            (report,) = scene.told.of(Suspended)
            assert bad.member is not None
            assert report.worker == bad.member.name
            assert report.why.startswith("a picture was handed over to another worker (")
            assert bad.refused is not None
            assert bad.refused.reason is Refusal.SUSPENDED

    in_virtual_time(scene)


def test_one_that_scores_no_probe_does_not_keep_its_place_on_trial_for_ever() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            worker = Worker()
            worker.is_overloaded = True
            scene.join(worker)
            await asyncio.sleep(1200)
            assert worker.refused is not None
            assert worker.refused.reason is Refusal.SUSPENDED
            (report,) = scene.told.of(Suspended)
            assert report.why.startswith("a probe was not scored (")

    in_virtual_time(scene)


def test_two_incidents_at_once_suspend_a_worker_once_and_trust_goes_on() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            bad, good = Worker(), Worker()
            await scene.trusted(bad, good)
            assert bad.member is not None
            for _ in range(12):
                scene.trust.handed_over(bad.member, Call("r", Deadline.after(8.0, scene.loop.time)), "late")
                scene.trust.handed_over(bad.member, Call("r", Deadline.after(8.0, scene.loop.time)), "late")
                await asyncio.sleep(1.5)
            assert len(scene.told.of(Suspended)) == 1
            assert not scene.runs.done()
            newcomer = scene.join(Worker(), "newcomer")
            await asyncio.sleep(5)
            assert not newcomer.is_on_trial

    in_virtual_time(scene)


def test_all_workers_of_a_liar_are_sent_away_with_it() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            await scene.trusted(Worker(), Worker())
            liar, sibling = Worker(), Worker()
            for each in (liar, sibling):
                member = scene.join(each, "mallory")
                await asyncio.sleep(5)
                assert not member.is_on_trial
            liar.answers = constant
            await scene.pictures_for(600, until=Distrusted)
            await asyncio.sleep(1)
            assert {report.owner for report in scene.told.of(Distrusted)} == {"mallory"}
            assert len(scene.told.of(Distrusted)) == 2
            assert sibling.member is not None
            assert sibling.member.has_ended

    in_virtual_time(scene)


def test_the_second_worker_of_an_owner_is_no_judge_of_the_first() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            honest, first, second = Worker(), Worker(), Worker()
            await scene.trusted(honest)
            for each in (first, second):
                scene.join(each, "mallory")
                await asyncio.sleep(5)
            first.answers = second.answers = shuffled
            await scene.pictures_for(300)
            assert honest.member is not None
            assert honest.member.name not in {report.worker for report in scene.told.of(Distrusted)}

    in_virtual_time(scene)


def test_a_model_is_decided_anew_once_no_worker_is_left() -> None:
    async def scene() -> None:
        async with Scene() as scene:
            first = scene.join(Worker())
            first.lost("gone")
            other = replace(MODEL, image_size_px=64)
            hello = Hello(PROTOCOL, "1", "desk", "small", (Offer(other, {1: 0.005}),))
            assert scene.fleet.join(hello, Worker(), "another").name == "another/desk"

    in_virtual_time(scene)
