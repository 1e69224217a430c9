"""The batcher with a device that has memory of its own: batches are staged ahead, and may not fit."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from serve_app.batching.batcher import Batcher
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import Call, Clock, Deadline, DeviceMemoryError, Lane, UnavailableError

PASS_S = 0.1
FLAT = {1: PASS_S, 2: PASS_S, 4: PASS_S, 8: PASS_S}


@dataclass
class Staging:
    """Submits to a batcher; ``staged`` is what that staged, in order."""

    batcher: Batcher[Any, Any]
    staged: list[list[Any]]
    clock: Clock

    def __call__(self, *items, within_s=8.0, lane=Lane.LIVE):
        call = Call("r", Deadline.after(within_s, self.clock), lane)
        return asyncio.create_task(self.batcher.submit(items, call))


@pytest.fixture
async def staging(device, clock):
    """Submits to a batcher that stages."""
    staged: list[list[Any]] = []

    async def stage(_, items):
        if any(isinstance(item, OSError) for item in items):
            raise next(item for item in items if isinstance(item, OSError))
        staged.append(list(items))
        return items

    costs = PassCosts(FLAT)
    for _ in range(50):
        costs.observe_staging(10 * PASS_S)  # so long that the next batch is staged as soon as a pass has begun
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, {None: costs}, max_queued_items=100, stage=stage, clock=clock)

    yield Staging(batcher, staged, clock)
    await batcher.close()


async def test_the_next_batch_is_staged_while_a_pass_runs(staging, device):
    jobs = [staging("a")]
    await device.settle()
    jobs.append(staging("b"))
    await device.settle()
    assert device.passes == [["a"]]
    assert staging.staged == [["a"], ["b"]]
    for _ in range(2):
        await device.end_pass()
    assert [job.result() for job in jobs] == [["seen a"], ["seen b"]]


async def test_no_third_batch_is_bound(staging, device):
    jobs = [staging("a")]
    await device.settle()
    for item in "bcd":
        jobs.append(staging(item))
        await device.settle()
    assert staging.staged == [["a"], ["b"]]
    await device.end_pass()
    assert device.passes[1:] == [["b"]]
    assert staging.staged[2:] == [["c", "d"]]
    for _ in range(2):
        await device.end_pass()
    assert [job.result() for job in jobs] == [[f"seen {item}"] for item in "abcd"]


async def test_background_work_is_not_staged_ahead_since_it_could_not_make_way(staging, device):
    staging("a", lane=Lane.BACKGROUND)
    await device.settle()
    staging("b", lane=Lane.BACKGROUND)
    await device.settle()
    assert staging.staged == [["a"]]
    live = staging("live")
    await device.settle()
    await device.end_pass()
    assert device.passes == [["a"], ["live"]]
    await device.end_pass()
    assert live.result() == ["seen live"]


async def test_what_cannot_be_staged_fails_alone(staging, device):
    jobs = [staging("good"), staging(OSError("no room")), staging("other")]
    for _ in range(6):
        await device.settle()
        if device.is_busy:
            await device.end_pass()
    assert [job.result() for job in (jobs[0], jobs[2])] == [["seen good"], ["seen other"]]
    with pytest.raises(OSError, match="no room"):
        await jobs[1]
    again = staging("again")
    await device.end_pass()
    assert again.result() == ["seen again"]


async def test_closing_answers_what_is_staged(staging, device):
    running = staging("running")
    await device.settle()
    bound = staging("bound")
    await device.settle()
    await staging.batcher.close()
    for job in (running, bound):
        with pytest.raises(UnavailableError):
            await job


# Its memory does not suffice


async def test_out_of_memory_halves_the_batch_and_goes_on_with_smaller_ones(clock):
    sizes = []

    async def run_pass(_, items):
        sizes.append(len(items))
        if len(items) > 3:
            raise DeviceMemoryError("full")
        return list(items)

    costs = PassCosts(FLAT)
    batcher: Batcher[Any, Any] = Batcher(run_pass, {None: costs}, max_queued_items=100, clock=clock)
    assert await batcher.submit(range(8), Call("r", Deadline.after(8.0, clock))) == list(range(8))
    assert sizes == [8, 4, 2, 2, 4, 2, 2]
    assert costs.largest_bucket == 2
    assert await batcher.submit(range(4), Call("r", Deadline.after(8.0, clock))) == list(range(4))
    assert sizes[7:] == [2, 2]
    await batcher.close()


async def test_one_view_that_does_not_fit_fails_its_job(clock):
    async def run_pass(_, items):
        raise DeviceMemoryError("full")

    batcher: Batcher[Any, Any] = Batcher(run_pass, {None: PassCosts(FLAT)}, max_queued_items=100, clock=clock)
    with pytest.raises(DeviceMemoryError):
        await batcher.submit(["a"], Call("r", Deadline.after(8.0, clock)))
    await batcher.close()
