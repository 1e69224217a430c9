"""The batcher with a device that shares its cores with what prepares its items: it waits for what is coming."""

import asyncio
import time
from typing import Any

import pytest

from benchmarks.virtual_time import play
from serve_app.batching.batcher import Batcher
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import Call, Deadline, Lane


class Cores:
    """Tell how long they idled, which the test decides."""

    def __init__(self):
        self.idled_s = 50.0

    def __call__(self):
        return self.idled_s


@pytest.fixture
def cores():
    return Cores()


@pytest.fixture
async def gathering(device, clock, cores):
    # So long that no wait ends by itself while the test runs.
    costs = PassCosts(dict.fromkeys((1, 2, 4), 1000.0))
    batcher: Batcher[Any, Any] = Batcher(
        device.run_pass, {None: costs}, max_queued_items=100, idle_s=cores, clock=clock
    )
    yield batcher
    await batcher.close()


@pytest.fixture
def submit_to_gathering(gathering, clock):
    def start(*items, coming, within_s=1e6, lane=Lane.LIVE):
        deadline = Deadline.after(within_s, clock)
        return asyncio.create_task(gathering.submit(items, Call("r", deadline, lane), coming))

    return start


async def test_it_waits_for_all_that_is_coming_and_not_longer(submit_to_gathering, device):
    submit_to_gathering("a", coming=2)
    await device.settle()
    submit_to_gathering("b", coming=1)
    await device.settle()
    assert device.passes == []
    submit_to_gathering("c", coming=0)
    await device.settle()
    assert device.passes == [["a", "b", "c"]]


async def test_a_full_batch_waits_for_nothing(submit_to_gathering, device):
    submit_to_gathering(*"abcd", coming=9)
    await device.settle()
    assert device.passes == [list("abcd")]


async def test_it_waits_no_longer_than_the_cores_may_idle_for_what_it_saves(submit_to_gathering, device, cores):
    submit_to_gathering("a", coming=3)
    await device.settle()
    cores.idled_s += 999.0
    submit_to_gathering("b", coming=2)
    await device.settle()
    assert device.passes == []
    cores.idled_s += 1.0
    submit_to_gathering("c", coming=1)
    await device.settle()
    assert device.passes == [["a", "b", "c"]]


async def test_busy_cores_do_not_make_it_wait_for_longer_than_a_full_pass(submit_to_gathering, device, clock):
    submit_to_gathering("a", coming=3)
    await device.settle()
    clock.now_s += 1000.0
    submit_to_gathering("b", coming=2)
    await device.settle()
    assert device.passes == [["a", "b"]]


async def test_an_urgent_item_waits_for_nobody(submit_to_gathering, device):
    submit_to_gathering("a", coming=3, within_s=1000.0)
    await device.settle()
    assert device.passes == [["a"]]


async def test_background_work_does_not_wait_for_what_is_coming(submit_to_gathering, device):
    submit_to_gathering("a", coming=3, lane=Lane.BACKGROUND)
    await device.settle()
    assert device.passes == [["a"]]


async def test_what_was_coming_and_never_came_delays_nobody_for_ever():
    async def run_pass(_, items):
        return items

    # Real seconds: a hundredth of one is what the wait may come to.
    batcher: Batcher[Any, Any] = Batcher(run_pass, {None: PassCosts({1: 0.01, 2: 0.01})}, 100, idle_s=time.monotonic)
    assert await batcher.submit(["a"], Call("r", Deadline.after(60.0)), coming=1) == ["a"]
    await batcher.close()


def test_cores_that_do_not_idle_are_not_asked_without_a_pause():
    looks = 0

    def idle_s():
        nonlocal looks
        looks += 1
        return 0.0

    async def run_pass(_, items):
        return items

    async def scene():
        loop = asyncio.get_running_loop()
        # Two passes of one item save 0.2 ms as one of two, and nothing comes: it waits for as long as a pass takes.
        costs = PassCosts({1: 0.1, 2: 0.1998})
        batcher: Batcher[Any, Any] = Batcher(run_pass, {None: costs}, 100, idle_s=idle_s, clock=loop.time)
        call = Call("r", Deadline.after(60.0, loop.time))
        assert await batcher.submit(["a"], call, coming=1) == ["a"]
        await batcher.close()

    play(scene())
    assert 10 < looks < 150
