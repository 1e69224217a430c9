"""The batcher with a device that has memory of its own: batches are uploaded ahead, and may not fit."""

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
class Uploading:
    """Submits to a batcher; ``uploaded`` is what that uploaded, in order."""

    batcher: Batcher[Any, Any]
    uploaded: list[list[Any]]
    clock: Clock

    def __call__(self, *items, within_s=8.0, lane=Lane.LIVE):
        call = Call("r", Deadline.after(within_s, self.clock), lane)
        return asyncio.create_task(self.batcher.submit(items, call))


@pytest.fixture
async def uploading(device, clock):
    """Submits to a batcher that uploads."""
    uploaded: list[list[Any]] = []

    async def upload(_, items):
        if any(isinstance(item, OSError) for item in items):
            raise next(item for item in items if isinstance(item, OSError))
        uploaded.append(list(items))
        return items

    costs = PassCosts(FLAT)
    for _ in range(50):
        costs.observe_upload(10 * PASS_S)  # so long that the next batch is uploaded as soon as a pass has begun
    batcher: Batcher[Any, Any] = Batcher(
        device.run_pass, {None: costs}, max_queued_items=100, upload=upload, clock=clock
    )

    yield Uploading(batcher, uploaded, clock)
    await batcher.close()


async def test_the_next_batch_is_uploaded_while_a_pass_runs(uploading, device):
    jobs = [uploading("a")]
    await device.settle()
    jobs.append(uploading("b"))
    await device.settle()
    assert device.passes == [["a"]]
    assert uploading.uploaded == [["a"], ["b"]]
    for _ in range(2):
        await device.end_pass()
    assert [job.result() for job in jobs] == [["seen a"], ["seen b"]]


async def test_no_third_batch_is_bound(uploading, device):
    jobs = [uploading("a")]
    await device.settle()
    for item in "bcd":
        jobs.append(uploading(item))
        await device.settle()
    assert uploading.uploaded == [["a"], ["b"]]
    await device.end_pass()
    assert device.passes[1:] == [["b"]]
    assert uploading.uploaded[2:] == [["c", "d"]]
    for _ in range(2):
        await device.end_pass()
    assert [job.result() for job in jobs] == [[f"seen {item}"] for item in "abcd"]


async def test_background_work_is_not_uploaded_ahead_since_it_could_not_make_way(uploading, device):
    uploading("a", lane=Lane.BACKGROUND)
    await device.settle()
    uploading("b", lane=Lane.BACKGROUND)
    await device.settle()
    assert uploading.uploaded == [["a"]]
    live = uploading("live")
    await device.settle()
    await device.end_pass()
    assert device.passes == [["a"], ["live"]]
    await device.end_pass()
    assert live.result() == ["seen live"]


async def test_what_cannot_be_uploaded_fails_alone(uploading, device):
    jobs = [uploading("good"), uploading(OSError("no room")), uploading("other")]
    for _ in range(6):
        await device.settle()
        if device.is_busy:
            await device.end_pass()
    assert [job.result() for job in (jobs[0], jobs[2])] == [["seen good"], ["seen other"]]
    with pytest.raises(OSError, match="no room"):
        await jobs[1]
    again = uploading("again")
    await device.end_pass()
    assert again.result() == ["seen again"]


async def test_closing_answers_what_is_uploaded(uploading, device):
    running = uploading("running")
    await device.settle()
    bound = uploading("bound")
    await device.settle()
    await uploading.batcher.close()
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
