"""Who is lent what next, without any process."""

import asyncio

import pytest

from serve_app.domain import Lane
from serve_app.media.workers.lane_queue import LaneQueue


async def settle():
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
def queue():
    return LaneQueue()


async def wait_for(queue, lane=Lane.LIVE):
    task = asyncio.create_task(queue.get(lane))
    await settle()
    return task


async def test_the_last_one_back_is_lent_first(queue):
    queue.put("a")
    queue.put("b")
    assert [await queue.get(Lane.LIVE) for _ in range(2)] == ["b", "a"]


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
    assert await queue.get(Lane.LIVE) is None
