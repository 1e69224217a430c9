"""The batcher on a clock that only the tests move, and a device whose passes only the tests end."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.batching.batcher import Batcher
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import Call, Deadline, DeadlineExceededError, Lane, OverloadedError, UnavailableError

PASS_S = 0.1
FLAT = {1: PASS_S, 2: PASS_S, 4: PASS_S, 8: PASS_S}


@pytest.fixture
async def batcher(device, clock):
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, {None: PassCosts(FLAT)}, max_queued_items=100, clock=clock)
    yield batcher
    await batcher.close()


@pytest.fixture
def submit(batcher, clock):
    def start(*items, within_s=8.0, lane=Lane.LIVE):
        return asyncio.create_task(batcher.submit(items, Call("r", Deadline.after(within_s, clock), lane)))

    return start


async def test_an_idle_device_starts_at_once(submit, device):
    submit("a")
    await device.settle()
    assert device.passes == [["a"]]


async def test_what_arrives_during_a_pass_shares_the_next_one(submit, device):
    first = submit("a")
    await device.settle()
    others = [submit(item) for item in "bcd"]
    await device.end_pass()
    assert first.result() == ["seen a"]
    assert device.passes == [["a"], ["b", "c", "d"]]
    await device.end_pass()
    assert [each.result() for each in others] == [["seen b"], ["seen c"], ["seen d"]]


async def test_arrivals_of_one_turn_share_a_pass_on_an_idle_device(submit, device):
    for item in "abc":
        submit(item)
    await device.settle()
    assert device.passes == [["a", "b", "c"]]


async def test_the_earliest_deadline_goes_first(submit, device):
    submit("running")
    await device.settle()
    for item, within_s in (("late", 7.0), ("soon", 2.0), ("middle", 4.0)):
        submit(item, within_s=within_s)
    await device.end_pass()
    assert device.passes[1] == ["soon", "middle", "late"]


async def test_a_job_larger_than_a_batch_goes_in_several_passes_and_comes_back_in_order(submit, device):
    job = submit(*range(11))
    await device.end_pass()
    await device.end_pass()
    assert [len(each) for each in device.passes] == [8, 3]
    assert job.result() == [f"seen {number}" for number in range(11)]


async def test_what_can_no_longer_make_its_deadline_is_dropped_before_the_pass(submit, device, batcher):
    submit("slow pass")
    await device.settle()
    tight, loose = submit("tight", within_s=0.5), submit("loose", within_s=5.0)
    await device.end_pass(seconds=0.45)
    assert device.passes == [["slow pass"], ["loose"]]
    with pytest.raises(DeadlineExceededError):
        await tight
    assert batcher.stats.dropped_jobs == 1
    await device.end_pass()
    assert loose.result() == ["seen loose"]


async def test_an_expired_deadline_is_refused_at_the_door(submit):
    with pytest.raises(DeadlineExceededError):
        await submit("a", within_s=0.0)


async def test_a_predicted_wait_beyond_the_deadline_is_refused_at_once(submit, device, batcher):
    submit("running")
    await device.settle()
    # The running pass and five more take 0.6 s; each of these fits, and one more pass does not.
    waiting = [submit(*range(8), within_s=0.65) for _ in range(5)]
    await device.settle()
    with pytest.raises(OverloadedError, match="40 views wait"):
        await submit("hopeless", within_s=0.65)
    assert batcher.stats.refused_jobs == 1
    assert not any(each.done() for each in waiting)


async def test_only_what_goes_first_counts_in_the_predicted_wait(submit, device):
    submit("running")
    await device.settle()
    for _ in range(5):
        submit(*range(8), within_s=8.0)
    urgent = submit("urgent", within_s=0.3)
    await device.end_pass()
    assert device.passes[1][0] == "urgent"
    await device.end_pass()
    assert urgent.result() == ["seen urgent"]


async def test_a_full_queue_refuses_at_once(device, clock):
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, {None: PassCosts(FLAT)}, max_queued_items=4, clock=clock)
    tasks = [asyncio.create_task(batcher.submit(range(4), Call("r", Deadline.after(8.0, clock))))]
    await device.settle()
    tasks.append(asyncio.create_task(batcher.submit(range(4), Call("r", Deadline.after(8.0, clock)))))
    await device.settle()
    with pytest.raises(OverloadedError):
        await batcher.submit(["one more"], Call("r", Deadline.after(8.0, clock)))
    await batcher.close()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_device_that_hangs_refuses_what_it_would_keep_waiting(submit, clock, batcher, device):
    submit("hangs")
    await device.settle()
    clock.now_s += 30.0
    assert batcher.overdue_s == pytest.approx(30.0 - PASS_S)
    with pytest.raises(OverloadedError):
        await submit("a", within_s=8.0)


async def test_a_poisoned_item_fails_alone(submit, device):
    submit("running")
    await device.settle()
    good, bad, other = submit("good"), submit(ValueError("poison")), submit("other")
    for _ in range(8):
        await device.end_pass() if not other.done() else None
    assert good.result() == ["seen good"]
    assert other.result() == ["seen other"]
    with pytest.raises(ValueError, match="poison"):
        await bad


async def test_a_pass_with_missing_outcomes_fails_its_items_and_not_the_batcher(clock):
    async def forgets_one(_, items):
        return list(items)[:-1]

    batcher: Batcher[Any, Any] = Batcher(forgets_one, {None: PassCosts(FLAT)}, max_queued_items=10, clock=clock)
    with pytest.raises(RuntimeError, match="outcomes"):
        await batcher.submit(["a"], Call("r", Deadline.after(8.0, clock)))
    with pytest.raises(RuntimeError, match="outcomes"):
        await batcher.submit(["b"], Call("r", Deadline.after(8.0, clock)))
    await batcher.close()


async def test_a_cancelled_caller_takes_its_items_with_it(submit, device):
    submit("running")
    await device.settle()
    gone, stays = submit("gone"), submit("stays")
    await device.settle()
    gone.cancel()
    await device.end_pass()
    assert device.passes == [["running"], ["stays"]]
    await device.end_pass()
    assert stays.result() == ["seen stays"]


async def test_a_caller_cancelled_during_its_pass_does_not_disturb_it(submit, device):
    gone, stays = submit("gone"), submit("stays")
    await device.settle()
    gone.cancel()
    await device.end_pass()
    assert stays.result() == ["seen stays"]
    assert gone.cancelled()


async def test_a_failed_item_keeps_the_rest_of_its_job_from_the_device(device, clock):
    batcher: Batcher[Any, Any] = Batcher(
        device.run_pass, {None: PassCosts({1: PASS_S})}, max_queued_items=100, clock=clock
    )
    job = asyncio.create_task(
        batcher.submit([ValueError("poison"), "never", "never"], Call("r", Deadline.after(8.0, clock)))
    )
    await device.end_pass()
    with pytest.raises(ValueError, match="poison"):
        await job
    await device.settle()
    assert len(device.passes) == 1
    await batcher.close()


async def test_nothing_to_do_is_done_at_once(batcher, clock):
    assert await batcher.submit([], Call("r", Deadline.after(1.0, clock))) == []


async def test_closing_answers_what_waits(submit, batcher, device):
    running = submit("running")
    await device.settle()
    waiting = submit("waiting")
    await device.settle()
    await batcher.close()
    for job in (running, waiting):
        with pytest.raises(UnavailableError):
            await job


async def test_the_costs_follow_what_passes_really_take(device, clock):
    costs = PassCosts(FLAT)
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, {None: costs}, max_queued_items=100, clock=clock)
    for _ in range(30):
        task = asyncio.create_task(batcher.submit(["a"], Call("r", Deadline.after(8.0, clock))))
        await device.end_pass(seconds=0.5)
        await task
    assert costs.pass_s(1) == pytest.approx(0.5, rel=0.01)
    assert batcher.stats.passes_by_size == {1: 30}
    await batcher.close()


async def test_an_idle_device_is_tried_whatever_its_passes_took_before(device, clock):
    costs = PassCosts({1: 20.0})
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, {None: costs}, max_queued_items=100, clock=clock)
    for _ in range(6):
        alone = asyncio.create_task(batcher.submit(["alone"], Call("r", Deadline.after(8.0, clock))))
        await device.end_pass()
        assert await alone == ["seen alone"]
    assert costs.pass_s(1) < 8.0, "it has learnt that it is fast again"
    await batcher.close()


async def test_behind_such_a_try_nobody_waits(device, clock):
    batcher: Batcher[Any, Any] = Batcher(
        device.run_pass, {None: PassCosts({1: 20.0})}, max_queued_items=100, clock=clock
    )
    alone = asyncio.create_task(batcher.submit(["alone"], Call("r", Deadline.after(8.0, clock))))
    await device.settle()
    with pytest.raises(OverloadedError, match="0 views wait"):
        await batcher.submit(["behind"], Call("r", Deadline.after(8.0, clock)))
    await device.end_pass()
    assert await alone == ["seen alone"]
    await batcher.close()


async def test_what_has_become_hopeless_is_told_after_the_pass_that_showed_it(submit, device, batcher):
    running = submit(*range(8))
    await device.settle()
    jobs = [submit(*range(8), within_s=2.4) for _ in range(5)]
    await device.settle()
    # A pass has taken 1.5 s: passes are expected to take 0.38 s now, and 0.9 s are left.
    await device.end_pass(seconds=1.5)
    assert running.done()
    assert [job.done() for job in jobs] == [False, False, False, True, True]
    for job in jobs[3:]:
        with pytest.raises(OverloadedError, match="passes take longer now"):
            await job
    assert batcher.stats.dropped_jobs == 2


# Lanes


async def test_a_live_item_waits_for_no_more_background_work_than_the_running_pass(submit, device):
    for item in "abc":
        submit(item, lane=Lane.BACKGROUND)
    await device.settle()
    later = submit("d", lane=Lane.BACKGROUND)
    live = submit("live")
    await device.end_pass()
    assert device.passes == [["a", "b", "c"], ["live"]]
    await device.end_pass()
    assert live.result() == ["seen live"]
    assert device.passes[2] == ["d"]
    await device.end_pass()
    assert later.result() == ["seen d"]


async def test_background_work_is_admitted_behind_all_live_work(submit, device):
    submit("running")
    await device.settle()
    for _ in range(3):
        submit(*range(8))
    await device.settle()
    # The running pass, three of live items and its own are 0.5 s.
    with pytest.raises(OverloadedError):
        await submit("too late", lane=Lane.BACKGROUND, within_s=0.45)
    assert not submit("in time", lane=Lane.BACKGROUND, within_s=0.55).done()


async def test_background_work_does_not_take_the_room_of_live_work(submit, device, batcher):
    submit(*range(8), lane=Lane.BACKGROUND)
    await device.settle()
    for _ in range(12):
        submit(*range(8), lane=Lane.BACKGROUND)
    await device.settle()
    with pytest.raises(OverloadedError, match="96 views wait"):
        await submit(*range(8), lane=Lane.BACKGROUND)
    assert batcher.predicted_wait_s == pytest.approx(PASS_S), "a live item waits for the running pass alone"
    live = submit("live")
    await device.end_pass()
    await device.end_pass()
    assert live.result() == ["seen live"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["live", "background", "end"]), st.integers(1, 9), st.floats(0.05, 8.0)),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_live_item_ever_waits_for_two_background_passes(new_device, steps):
    async def play():
        device = new_device()
        clock = device.clock
        batcher: Batcher[Any, Any] = Batcher(
            device.run_pass, {None: PassCosts(FLAT)}, max_queued_items=100, clock=clock
        )
        live_since: int | None = None
        tasks = []
        for number, (step, size, within_s) in enumerate(steps):
            if step == "end":
                if device.is_busy:
                    await device.end_pass()
            else:
                lane = Lane(step)
                items = [(lane, number, index) for index in range(size)]
                tasks.append(
                    asyncio.create_task(batcher.submit(items, Call("r", Deadline.after(within_s, clock), lane)))
                )
                await device.settle()
            is_live_waiting = batcher.waiting(Lane.LIVE) > 0
            if not is_live_waiting:
                live_since = None
            elif live_since is None:
                live_since = len(device.passes)
            else:
                begun_since = device.passes[live_since:]
                assert all(lane is Lane.LIVE for items in begun_since for lane, _, _ in items)
        await batcher.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(play())


async def test_the_predicted_wait_is_the_running_pass_and_all_that_waits(clock, device):
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, {None: PassCosts(FLAT)}, 100, clock=clock)
    assert batcher.predicted_wait_s == 0.0
    calls = [Call("r", Deadline.after(5, clock)) for _ in range(3)]
    submitted = [asyncio.create_task(batcher.submit([0] * 8, call)) for call in calls]
    await device.settle()
    clock.now_s += PASS_S / 4
    assert batcher.predicted_wait_s == pytest.approx(0.75 * PASS_S + 2 * PASS_S)
    for _ in submitted:
        await device.end_pass()
    await asyncio.gather(*submitted)
    assert batcher.predicted_wait_s == 0.0
    await batcher.close()
