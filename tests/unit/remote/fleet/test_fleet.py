"""A fleet spreads pictures over its workers by predicted finish."""

from __future__ import annotations

import asyncio
from statistics import median

import pytest

from benchmarks.simulated_worker import Machine, views_of
from benchmarks.virtual_time import play
from serve_app.domain import (
    Call,
    Deadline,
    DeadlineExceededError,
    Lane,
    NoWorkerError,
    OverloadedError,
    UnavailableError,
)
from tests.unit.remote.fleet.fleets import DEADLINE_S, GPU, Front, slower


def per_s(*machines: Machine, offered_per_s: float) -> float:
    """Pictures that workers score in a second under more load than they can do."""

    async def scene() -> float:
        async with Front(*machines) as front:
            await front.ask_at(offered_per_s, 13)
            scored = [each for each in await front.answers() if each.scores is not None]
            assert {type(each.error) for each in front.outcomes if each.error} == {OverloadedError}
            return sum(1003 <= (each.ended_s or 0) < 1013 for each in scored) / 10

    return play(scene())


def test_one_picture_takes_a_pass_and_a_round_trip():
    async def scene():
        async with Front(GPU) as front:
            front.ask()
            [outcome] = await front.answers()
            assert outcome.worker == "owner/desktop"
            assert outcome.took_s == pytest.approx(0.040 + GPU.pass_s[8], abs=0.005)

    play(scene())


def test_each_picture_gets_its_own_scores():
    async def scene():
        async with Front(GPU, slower(3), slower(2)) as front:
            await front.ask_at(100, 3)
            for outcome in await front.answers():
                assert outcome.scores is not None
                assert (outcome.scores.values == outcome.number % 256).all()
            assert front.told.counts["scored"] == 300

    play(scene())


def test_two_equal_workers_do_twice_the_work_of_one():
    one, two = per_s(slower(4), offered_per_s=60), per_s(slower(4), slower(4), offered_per_s=90)
    assert one >= 0.95 * 20
    assert two >= 1.9 * one


def test_unequal_workers_do_the_sum_of_their_work():
    fast, slow = per_s(slower(4), offered_per_s=60), per_s(slower(12), offered_per_s=30)
    assert per_s(slower(4), slower(12), offered_per_s=80) >= 0.95 * (fast + slow)


def test_links_that_are_slower_than_their_devices_are_kept_full():
    home = Machine(bytes_per_s=2.5e6)
    one, two = per_s(home, offered_per_s=20), per_s(home, home, offered_per_s=30)
    assert one >= 0.95 * home.bytes_per_s / views_of(0, 5).pixels.nbytes
    assert two >= 1.9 * one


def test_equal_workers_share_evenly():
    async def scene():
        async with Front(GPU, GPU) as front:
            await front.ask_at(120, 10)
            await front.answers()
            shares = front.by_worker()
            assert None not in shares
            assert min(shares.values()) >= 0.45 * 1200

    play(scene())


def test_a_slow_worker_gets_nothing_that_a_fast_one_does_sooner():
    async def scene():
        async with Front(slower(20), GPU) as front:
            await front.ask_at(5, 10)
            await front.answers()
            assert front.by_worker() == {"owner/desktop-2": 50}

    play(scene())


def test_a_far_link_counts():
    async def scene():
        near, far = GPU, Machine(bytes_per_s=1e6)
        async with Front(far, near) as front:
            await front.ask_at(10, 10)
            outcomes = await front.answers()
            assert all(each.took_s < 1.0 for each in outcomes)
            assert front.by_worker()["owner/desktop"] <= 2

    play(scene())


def test_the_measured_link_and_device_show_in_the_stats():
    async def scene():
        machine = Machine(bytes_per_s=4e6, one_way_s=0.05)
        async with Front(machine) as front:
            front.workers[0].slowness = 3.0
            await front.ask_at(2, 60, count=8)
            await front.answers()
            [stats] = front.fleet.stats.members
            assert stats.pictures == 120
            assert stats.rows == 960
            assert stats.round_trip_ms == pytest.approx(100, rel=0.1)
            assert stats.bytes_per_s == pytest.approx(4e6, rel=0.1)
            assert stats.view_ms == pytest.approx(3 * 40 / 16, rel=0.2)

    play(scene())


def test_nobody_is_there():
    async def scene():
        async with Front() as front:
            front.ask()
            [outcome] = await front.answers()
            assert isinstance(outcome.error, UnavailableError)
            assert outcome.took_s == 0.0
            assert front.told.counts == {"failed": 1}

    play(scene())


def test_what_cannot_be_done_in_time_is_refused_at_once():
    async def scene():
        async with Front(GPU) as front:
            await front.ask_at(160, 12)
            for outcome in await front.answers():
                assert outcome.scores or outcome.took_s == 0.0

    play(scene())


def test_an_idle_worker_is_tried_however_slow_it_was_thought():
    async def scene():
        async with Front(slower(1000)) as front:
            front.workers[0].slowness = 0.001  # much better than it says of itself
            front.ask()
            [outcome] = await front.answers()
            assert outcome.scores is not None

    play(scene())


def test_live_pictures_come_before_background_ones():
    async def scene():
        async with Front(GPU) as front:
            await front.measure()
            scan = [front.ask(lane=Lane.BACKGROUND, deadline_s=60) for _ in range(400)]
            live = await front.ask_at(20, 3)
            await front.answers()
            assert all(each.scores is not None for each in (*scan, *live))
            assert max(each.took_s for each in live) < 0.3
            assert max(each.took_s for each in scan) > 4

    play(scene())


def test_the_earliest_deadline_goes_first():
    async def scene():
        async with Front(GPU) as front:
            await front.measure()
            patient = [front.ask(deadline_s=8) for _ in range(200)]
            hurried = [front.ask(deadline_s=1) for _ in range(20)]
            await front.answers()
            assert all(each.scores for each in (*patient, *hurried))
            assert max(each.took_s for each in hurried) < 1

    play(scene())


def test_sources_take_turns():
    async def scene():
        async with Front(GPU) as front:
            await front.measure()
            for _ in range(400):
                front.ask(source="flood")
            await asyncio.sleep(0.1)
            small = await front.ask_at(10, 3, source="small")
            await front.answers()
            assert all(each.scores for each in small)
            assert max(each.took_s for each in small) < 0.4

    play(scene())


def test_a_picture_with_more_views_is_a_longer_turn():
    async def scene():
        async with Front(GPU) as front:
            await front.measure()
            large = [front.ask(count=16, source="large") for _ in range(60)]
            small = [front.ask(count=1, source="small") for _ in range(60)]
            await front.answers()
            assert median(each.took_s for each in small) < median(each.took_s for each in large) / 3

    play(scene())


def test_late_binding_keeps_most_pictures_at_the_front():
    async def scene():
        async with Front(GPU) as front:
            await front.measure()
            for _ in range(300):
                front.ask()
            await asyncio.sleep(0.5)
            stats = front.fleet.stats
            # A round trip of 40 ms and two passes of 40 ms are 48 views: ten pictures.
            assert stats.in_flight <= 12
            assert stats.waiting >= 200

    play(scene())


def test_a_cancelled_caller_takes_its_picture_with_it():
    async def scene():
        async with Front(GPU) as front:
            for _ in range(100):
                front.ask()
            await asyncio.sleep(0.1)
            for task in front.tasks:
                task.cancel()
            await asyncio.gather(*front.tasks, return_exceptions=True)
            assert front.fleet.stats.in_flight == front.fleet.stats.waiting == 0
            arrived = len(front.workers[0].works)
            await asyncio.sleep(5)
            assert len(front.workers[0].works) <= arrived + 12
            front.tasks.clear()
            after = front.ask()
            await front.answers()
            assert after.scores is not None

    play(scene())


def test_nobody_waits_beyond_the_deadline():
    async def scene():
        async with Front(GPU) as front:
            front.workers[0].pause()
            front.ask(deadline_s=3)
            [outcome] = await front.answers()
            assert isinstance(outcome.error, DeadlineExceededError)
            assert outcome.took_s == pytest.approx(3)

    play(scene())


def test_a_passed_deadline_is_no_work():
    async def scene():
        async with Front(GPU) as front:
            front.ask(deadline_s=0)
            [outcome] = await front.answers()
            assert isinstance(outcome.error, DeadlineExceededError)
            assert not front.workers[0].works

    play(scene())


def test_a_worker_on_trial_gets_only_what_is_meant_for_it():
    async def scene():
        async with Front(GPU, GPU) as front:
            trial = front.members[0]
            trial.is_on_trial = True
            await front.ask_at(50, 2)
            await front.answers()
            assert front.by_worker() == {"owner/desktop-2": 100}
            call = Call("probe", Deadline.after(DEADLINE_S, front.loop.time))
            scores = await front.fleet.score_by(trial, 0, views_of(7, 3), call)
            assert scores.worker == trial.name
            assert (scores.values == 7).all()
            assert front.told.counts["scored"] == 100
            trial.is_on_trial = False
            await front.ask_at(120, 2)
            await front.answers()
            assert front.by_worker()[trial.name] > 80

    play(scene())


def test_no_upload_waits_for_a_trial_while_somebody_stands_in():
    async def scene():
        stands_in = True
        async with Front(GPU, has_stand_in=lambda: stands_in) as front:
            [member] = front.members
            member.is_on_trial = True
            upload, stored = front.ask(), front.ask(lane=Lane.BACKGROUND)
            await asyncio.sleep(0)
            with pytest.raises(NoWorkerError):
                await front.fleet.identify(0, Deadline.after(DEADLINE_S, front.loop.time))
            stands_in = False
            waits = front.ask()
            await asyncio.sleep(1)
            assert isinstance(upload.error, NoWorkerError)
            assert upload.took_s == 0
            member.is_on_trial = False
            await front.answers()
            assert stored.worker == waits.worker == member.name

    play(scene())


def test_uploads_of_a_worker_that_falls_silent_go_to_whoever_stands_in():
    async def scene():
        async with Front(GPU, has_stand_in=lambda: True) as front:
            await front.measure()
            front.workers[0].pause()
            asked, stored = [front.ask() for _ in range(200)], front.ask(lane=Lane.BACKGROUND)
            await asyncio.sleep(1)
            assert len(front.members[0].pictures) > 1
            await asyncio.sleep(DEADLINE_S / 2)
            assert all(isinstance(each.error, UnavailableError) for each in asked)
            assert stored.error is None, "nobody stands in for one that is stored already"

    play(scene())


@pytest.mark.parametrize("after_s", range(3, 15, 2))  # an idle worker is looked at every ten
def test_no_picture_is_left_with_an_idle_worker_that_turns_out_to_be_silent(after_s):
    async def scene():
        async with Front(GPU, slower(2)) as front:
            await front.measure()
            await asyncio.sleep(30)
            front.workers[0].is_cut = True
            await asyncio.sleep(after_s)
            stored = front.ask(lane=Lane.BACKGROUND)
            await front.answers()
            assert stored.worker == front.members[1].name

    play(scene())


def test_a_background_picture_is_not_sent_while_the_link_is_busy_with_another():
    async def scene():
        async with Front(Machine(one_way_s=0.02, bytes_per_s=2.5e6)) as front:
            await front.measure()
            front.ask(1)
            stored = front.ask(1, lane=Lane.BACKGROUND)
            await asyncio.sleep(0.01)
            upload = front.ask(1)
            await asyncio.sleep(0.001)
            assert [each.call.lane for each in front.members[0].pictures] == [Lane.LIVE, Lane.LIVE]
            await front.answers()
            assert upload.asked_s + upload.took_s < stored.asked_s + stored.took_s

    play(scene())


def test_what_is_meant_for_a_lost_worker_is_unavailable():
    async def scene():
        async with Front(GPU, GPU) as front:
            call = Call("probe", Deadline.after(DEADLINE_S, front.loop.time))
            probe = asyncio.create_task(front.fleet.score_by(front.members[0], 0, views_of(7, 3), call))
            await asyncio.sleep(0.01)
            front.workers[0].lose()
            with pytest.raises(UnavailableError, match="connection reset"):
                await probe
            with pytest.raises(UnavailableError, match="gone"):
                await front.fleet.score_by(front.members[0], 0, views_of(7, 3), call)

    play(scene())


def test_identify_waits_for_a_trial_to_end():
    async def scene():
        async with Front() as front:
            deadline = Deadline.after(5, front.loop.time)
            with pytest.raises(UnavailableError):
                await front.fleet.identify(0, deadline)
            front.join()
            front.members[0].is_on_trial = True
            with pytest.raises(DeadlineExceededError):
                await front.fleet.identify(0, deadline)
            waiting = asyncio.create_task(front.fleet.identify(0, Deadline.after(5, front.loop.time)))
            await asyncio.sleep(1)
            front.members[0].is_on_trial = False
            assert (await waiting).name == "simulated"

    play(scene())
