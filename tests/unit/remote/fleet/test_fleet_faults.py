"""Workers that are lost, silent, slow, paused or wrong cost no picture that another one can do in time."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from benchmarks.simulated_worker import SimulatedWorker
from benchmarks.virtual_time import play
from serve_app.domain import Lane, OverloadedError, UnavailableError, UnscannedReason
from serve_app.remote.messages import Failed, Refusal, Refused, Scored
from tests.unit.remote.fleet.fleets import GPU, Front, slower


def test_a_lost_worker_costs_nothing_at_half_load():
    async def scene():
        async with Front(GPU, GPU) as front:
            asking = asyncio.create_task(front.ask_at(80, 10))
            await asyncio.sleep(5)
            held = front.fleet.stats.in_flight
            front.workers[0].lose()
            await asking
            outcomes = await front.answers()
            assert all(each.scores for each in outcomes)
            assert max(each.took_s for each in outcomes) < 2
            assert 0 < front.told.counts["handed over"] <= held
            assert front.told.left_whys == {"owner/desktop": "connection reset"}
            # The full rate of one at once: nothing waits any longer by the end.
            assert all(each.took_s < 0.5 for each in outcomes[-80:])

    play(scene())


def test_the_only_worker_is_lost():
    async def scene():
        async with Front(GPU) as front:
            for _ in range(100):
                front.ask()
            await asyncio.sleep(0.1)
            front.workers[0].lose()
            lost_s = front.loop.time()
            unscored = [each for each in await front.answers() if each.scores is None]
            assert unscored
            assert all(isinstance(each.error, UnavailableError) and each.ended_s == lost_s for each in unscored)

    play(scene())


def test_a_cut_cable_is_noticed_by_its_silence():
    async def scene():
        async with Front(GPU, GPU) as front:
            asking = asyncio.create_task(front.ask_at(60, 10))
            await asyncio.sleep(5)
            front.workers[0].is_cut = True
            await asking
            assert all(each.scores for each in await front.answers())
            await asyncio.sleep(40)
            assert list(front.told.left_whys) == ["owner/desktop"]
            assert "silent for" in front.told.left_whys["owner/desktop"]
            assert len(front.fleet.members) == 1

    play(scene())


def test_a_cut_cable_while_nothing_is_sent():
    async def scene():
        async with Front(GPU) as front:
            await asyncio.sleep(20)
            front.workers[0].is_cut = True
            await asyncio.sleep(60)
            assert not front.fleet.members

    play(scene())


def test_a_paused_worker_answers_too_late_and_is_not_heard():
    async def scene():
        async with Front(GPU, GPU) as front:
            asking = asyncio.create_task(front.ask_at(60, 10))
            await asyncio.sleep(4)
            front.workers[0].pause()
            await asyncio.sleep(4)
            front.workers[0].go_on()
            await asking
            outcomes = await front.answers()
            assert all((each.scores.values == each.number % 256).all() for each in outcomes if each.scores)
            assert all(each.scores for each in outcomes)
            assert front.told.counts["scored"] == len(outcomes)
            assert front.told.counts["handed over"]
            assert len(front.fleet.members) == 2
            await front.ask_at(120, 3)
            await front.answers()
            assert sum(each.worker == "owner/desktop" for each in front.outcomes[600:]) > 80

    play(scene())


def test_a_worker_that_slows_down_gets_less():
    async def scene():
        async with Front(GPU, GPU) as front:
            asking = asyncio.create_task(front.ask_at(60, 20))
            await asyncio.sleep(5)
            front.workers[0].slowness = 10
            await asking
            outcomes = await front.answers()
            assert all(each.scores for each in outcomes)
            late = outcomes[-600:]
            assert sum(each.worker == "owner/desktop" for each in late) < 100
            assert max(each.took_s for each in late) < 2

    play(scene())


def test_a_late_joiner_takes_its_part():
    async def scene():
        async with Front(GPU) as front:
            asking = asyncio.create_task(front.ask_at(110, 10))
            await asyncio.sleep(2)
            front.join(GPU)
            await asking
            assert all(each.scores for each in await front.answers())
            assert front.by_worker()["owner/desktop-2"] > 350

    play(scene())


def test_a_worker_that_leaves_answers_what_it_has():
    async def scene():
        async with Front(GPU, GPU) as front:
            asking = asyncio.create_task(front.ask_at(70, 6))
            await asyncio.sleep(3)
            front.workers[0].leave()
            await asyncio.sleep(1)
            assert front.members[0].stats.in_flight == 0
            arrived = len(front.workers[0].works)
            front.workers[0].lose("it has ended")
            await asking
            assert all(each.scores for each in await front.answers())
            assert front.told.counts["handed over"] == 0
            assert len(front.workers[0].works) == arrived

    play(scene())


class Failing(SimulatedWorker):
    """Fails each picture at once."""

    reason = UnscannedReason.UNAVAILABLE

    def scored(self, number, rows, held_s):
        return Failed(number, self.reason, "no device", held_s)


def test_a_failed_picture_is_handed_over_once():
    async def scene():
        async with Front() as front:
            front.join(worker=Failing(GPU))
            front.join(slower(5))
            await front.ask_at(5, 20)
            outcomes = await front.answers()
            assert all(each.worker == "owner/desktop-2" for each in outcomes)
            assert front.told.counts["handed over"] == len(front.workers[0].works) > 0

    play(scene())


def test_a_worker_that_fails_all_rests_longer_and_longer():
    async def scene():
        async with Front() as front:
            front.join(worker=Failing(GPU))
            await front.ask_at(5, 60)
            outcomes = await front.answers()
            assert all(each.error for each in outcomes)
            # After 3, and then after 1, 2, 4, 8, 16 and 32 s more.
            assert 3 <= len(front.workers[0].works) <= 10
            # Nobody waits for a rest that is longer than the time that is left.
            resting = outcomes[5 * 35 : 5 * 50]
            assert all(isinstance(each.error, UnavailableError) and each.took_s == 0 for each in resting)

    play(scene())


class Recovering(SimulatedWorker):
    """Fails the first three pictures."""

    def scored(self, number, rows, held_s):
        if number <= 3:
            return Failed(number, UnscannedReason.UNAVAILABLE, "no device", held_s)
        return super().scored(number, rows, held_s)


@pytest.mark.parametrize("early_s", [0.0, 0.0015])
def test_a_picture_that_waits_for_a_rest_goes_when_it_ends(early_s):
    async def scene():
        async with Front() as front:
            front.join(worker=Recovering(GPU))
            for _ in range(3):
                front.ask()
                await front.answers()
            waiting = front.ask()
            await front.answers()
            assert waiting.scores
            assert waiting.took_s < 1.2

    play(scene(), early_s)


def test_a_picture_that_fails_twice_has_failed():
    async def scene():
        async with Front() as front:
            for _ in range(3):
                front.join(worker=Failing(GPU))
            front.ask()
            [outcome] = await front.answers()
            assert isinstance(outcome.error, UnavailableError)
            assert "no device" in str(outcome.error)
            assert sum(len(each.works) for each in front.workers) == 2

    play(scene())


def test_an_overloaded_worker_is_no_broken_one():
    async def scene():
        async with Front() as front:
            worker = Failing(GPU)
            worker.reason = UnscannedReason.OVERLOADED
            front.join(worker=worker)
            await front.ask_at(5, 3)
            assert all(isinstance(each.error, OverloadedError) for each in await front.answers())
            assert len(worker.works) == 15

    play(scene())


class Lying(SimulatedWorker):
    """Answers otherwise than it should."""

    def __init__(self, lie):
        super().__init__(GPU)
        self.lie = lie

    def scored(self, number, rows, held_s):
        return self.lie(Scored(number, rows, 100.0, held_s))


LIES = {
    "too few rows": lambda true: Scored(true.number, true.values[:-1], 100.0, true.held_s),
    "too many labels": lambda true: Scored(true.number, true.values.repeat(2, axis=1), 100.0, true.held_s),
    "no number": lambda true: Scored(true.number, np.full_like(true.values, np.nan), 100.0, true.held_s),
    "infinite": lambda true: Scored(true.number, np.full_like(true.values, np.inf), 100.0, true.held_s),
    "no scale": lambda true: Scored(true.number, true.values, 0.0, true.held_s),
    "never sent": lambda true: Scored(true.number + 1000, true.values, 100.0, true.held_s),
    "number zero": lambda true: Scored(0, true.values, 100.0, true.held_s),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_worker_that_answers_nonsense_is_dismissed(lie):
    async def scene():
        async with Front() as front:
            liar = Lying(LIES[lie])
            front.join(worker=liar)
            front.join(slower(2))
            front.ask()
            [outcome] = await front.answers()
            assert outcome.worker == "owner/desktop-2"
            assert liar.refused is not None
            assert liar.refused.reason is Refusal.DISTRUSTED
            assert "it answered" in front.told.left_whys["owner/desktop"]

    play(scene())


def test_a_second_answer_is_dropped():
    async def scene():
        async with Front(GPU) as front:
            front.ask()
            [outcome] = await front.answers()
            front.members[0].received(Scored(1, np.zeros((5, 1), np.float32), 100.0, 0.01))
            assert outcome.scores is not None
            assert front.told.counts["scored"] == 1
            assert len(front.fleet.members) == 1

    play(scene())


def test_a_worker_that_connects_again_is_the_one_that_it_was():
    """Its former connection is cut, which the front has not noticed yet, and has a picture."""

    async def scene():
        async with Front(max_workers=1) as front:
            former, again = SimulatedWorker(GPU), SimulatedWorker(GPU)
            former.process = again.process = "drawn at its start"
            front.join(worker=former)
            await front.measure()
            former.is_cut = True
            front.ask()
            await asyncio.sleep(0.1)
            front.fleet.end_former(front.members[0].hello, "owner")
            front.join(worker=again)
            assert [member.name for member in front.fleet.members] == ["owner/desktop"]
            assert front.told.left_whys == {"owner/desktop": "it has connected again"}
            front.ask()
            lost, scored = await front.answers()
            assert (lost.scores is None, scored.worker) == (True, "owner/desktop")

    play(scene())


def test_dismissing_hands_over():
    async def scene():
        async with Front(GPU, slower(2)) as front:
            front.ask()
            await asyncio.sleep(0.01)
            refused = Refused(Refusal.REVOKED, "its secret is no longer valid")
            front.fleet.dismiss(front.members[0], refused)
            front.fleet.dismiss(front.members[0], refused)
            [outcome] = await front.answers()
            assert outcome.worker == "owner/desktop-2"
            assert front.workers[0].refused == refused
            front.members[0].lost("closed")
            assert front.told.left_whys == {"owner/desktop": refused.message}

    play(scene())


def test_background_pictures_are_handed_over_too():
    async def scene():
        async with Front(GPU, GPU) as front:
            scan = [front.ask(lane=Lane.BACKGROUND, deadline_s=60) for _ in range(200)]
            await asyncio.sleep(0.5)
            front.workers[0].lose()
            await front.answers()
            assert all(each.scores for each in scan)

    play(scene())


def test_closing_tells_all():
    async def scene():
        async with Front(GPU, GPU) as front:
            front.ask()
            await asyncio.sleep(0.01)
            front.fleet.close()
            [outcome] = await front.answers()
            assert isinstance(outcome.error, UnavailableError)
            assert [each.refused and each.refused.reason for each in front.workers] == [Refusal.STOPPING] * 2

    play(scene())


def test_pictures_of_a_lost_worker_wait_for_one_that_is_about_to_be_trusted():
    async def scene():
        async with Front(GPU, GPU) as front:
            front.members[1].is_on_trial = True
            asked = [front.ask() for _ in range(10)]
            await asyncio.sleep(0.01)
            front.workers[0].lose()
            await asyncio.sleep(3)
            front.members[1].is_on_trial = False
            await front.answers()
            assert {each.worker for each in asked} == {"owner/desktop-2"}

    play(scene())


def test_a_picture_that_is_late_goes_to_a_worker_that_comes_later():
    async def scene():
        async with Front(GPU) as front:
            await front.measure()
            front.workers[0].pause()
            late = front.ask()
            await asyncio.sleep(3)
            front.join(GPU)
            await front.answers()
            assert late.worker == "owner/desktop-2"

    play(scene())
