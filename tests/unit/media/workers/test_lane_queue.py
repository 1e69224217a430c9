"""Who is lent what next, without any process."""

import asyncio

import pytest

from serve_app.concurrency.fair_queue import FairQueue
from serve_app.domain import Call, Deadline, Lane
from serve_app.media.workers.lane_queue import LaneQueue


async def settle():
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
def queue():
    return LaneQueue()


def call(lane=Lane.LIVE, source="a", share=1.0):
    return Call("r", Deadline.after(8.0), lane, source, share)


async def wait_for(queue, *of_call):
    task = asyncio.create_task(queue.get(call(*of_call)))
    await settle()
    return task


async def test_the_last_one_back_is_lent_first(queue):
    queue.put("a")
    queue.put("b")
    assert [await queue.get(call()) for _ in range(2)] == ["b", "a"]


async def test_live_callers_come_before_background_ones_and_each_lane_in_order(queue):
    lanes = [Lane.BACKGROUND, Lane.LIVE, Lane.BACKGROUND, Lane.LIVE]
    waiting = [await wait_for(queue, lane) for lane in lanes]
    for thing in range(4):
        queue.put(thing)
    await settle()
    assert [task.result() for task in waiting] == [2, 0, 3, 1]


async def test_a_caller_that_goes_away_is_passed_over(queue):
    gone, stays = await wait_for(queue), await wait_for(queue)
    gone.cancel()
    await settle()
    queue.put("a")
    assert await stays == "a"


async def test_only_a_caller_that_goes_away_is_looked_for_among_those_that_wait(queue, monkeypatch):
    looked_for = []
    monkeypatch.setattr(FairQueue, "remove", lambda _, waiter, source: looked_for.append(source))
    served, gone = await wait_for(queue, Lane.LIVE, "served"), await wait_for(queue, Lane.LIVE, "gone")
    queue.put("a")
    assert await served == "a"
    assert looked_for == []
    gone.cancel()
    await settle()
    assert looked_for == ["gone"]


async def test_what_was_lent_to_a_caller_as_it_went_away_is_lent_to_the_next(queue):
    gone, stays = await wait_for(queue), await wait_for(queue)
    queue.put("a")
    gone.cancel()
    assert await stays == "a"


async def test_once_closed_there_is_nothing_to_wait_for(queue):
    waiting = await wait_for(queue)
    queue.close()
    assert await waiting is None
    queue.put("a")
    assert await queue.get(call()) is None


async def test_sources_that_wait_in_one_lane_take_turns_by_their_shares(queue):
    many = [await wait_for(queue, Lane.LIVE, "many") for _ in range(6)]
    few = [await wait_for(queue, Lane.LIVE, "few", 2.0) for _ in range(4)]
    for thing in range(10):
        queue.put(thing)
    await settle()
    assert [task.result() for task in few] == [1, 2, 4, 5]
    assert [task.result() for task in many] == [0, 3, 6, 7, 8, 9]
