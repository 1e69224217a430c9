"""The loop that serves the device is watched: where it hangs or ends, the replica says so and nobody waits for it."""

import asyncio
import logging
from collections.abc import Hashable

import pytest

from serve_app.batching.batcher import Batcher
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import Call, Deadline, DeviceMemoryError, Lane, UnavailableError

PASS_S = 0.1
FLAT = {1: PASS_S, 2: PASS_S, 4: PASS_S}


class BrokenCosts(PassCosts):
    """Stands for a mistake of ours somewhere in the loop: its answer raises when it is told to."""

    is_broken = False

    def batch_size(self, waiting, budget_s):
        if self.is_broken:
            raise ZeroDivisionError("a mistake of ours")
        return super().batch_size(waiting, budget_s)


async def upload_at_once(_, items):
    return items


@pytest.mark.parametrize("ends", ["after the pass", "after the pass, which uploads", "while the pass runs"])
async def test_a_loop_that_ends_by_an_error_answers_all_who_wait_and_says_that_it_is_gone(device, clock, caplog, ends):
    # The next batch is uploaded when an upload's time is left of a pass: at the end of one that takes so long, or,
    # where that is longer than a pass, as soon as it has begun.
    costs = BrokenCosts(FLAT if ends == "while the pass runs" else dict.fromkeys(FLAT, 1000.0))
    for _ in range(50 if ends == "while the pass runs" else 0):
        costs.observe_upload(10 * PASS_S)
    upload = None if ends == "after the pass" else upload_at_once
    batcher = Batcher(device.run_pass, {None: costs}, 100, upload=upload, clock=clock)
    batcher.require_alive()
    jobs = [asyncio.create_task(batcher.submit(["running"], Call("r", Deadline.after(1e6, clock))))]
    await device.settle()
    with caplog.at_level(logging.ERROR):
        costs.is_broken = True
        for lane in Lane:
            jobs.append(asyncio.create_task(batcher.submit(["waiting"], Call("r", Deadline.after(1e6, clock), lane))))
            await device.settle()
        if ends != "while the pass runs":
            await device.end_pass(1000.0)
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[1:]] == [UnavailableError, UnavailableError]
    if ends == "while the pass runs":
        assert isinstance(outcomes[0], UnavailableError), "the pass is taken along"
    else:
        assert outcomes[0] == ["seen running"]
    assert "ZeroDivisionError" in caplog.text
    with pytest.raises(UnavailableError, match="see the log"):
        batcher.require_alive()
    with pytest.raises(UnavailableError):
        await batcher.submit(["later"], Call("r", Deadline.after(8.0, clock)))


async def test_uploading_that_hangs_is_overdue(device, clock):
    never = asyncio.Event()

    async def upload(_, items):
        await never.wait()
        return items

    batcher = Batcher(device.run_pass, {None: PassCosts(FLAT)}, 100, upload=upload, clock=clock)
    assert batcher.overdue_s <= 0.0
    waiting = asyncio.create_task(batcher.submit(["a"], Call("r", Deadline.after(8.0, clock))))
    await device.settle()
    clock.now_s += 31.0
    assert batcher.overdue_s == pytest.approx(31.0)
    never.set()
    await device.settle()
    assert batcher.overdue_s <= 0.0
    await device.end_pass()
    assert await waiting == ["seen a"]
    await batcher.close()


async def test_uploading_that_hangs_is_overdue_also_while_another_one_comes_and_goes(device, clock):
    """The halves of a pass that failed are uploaded beside the batch that was uploaded ahead."""
    never = asyncio.Event()

    async def upload(_, items):
        if "hangs" in items:
            await never.wait()
        return items

    costs = PassCosts(FLAT)
    for _ in range(50):
        costs.observe_upload(10 * PASS_S)  # so long that the next batch is uploaded as soon as a pass has begun
    batcher = Batcher(device.run_pass, {None: costs}, 100, upload=upload, clock=clock)
    poisoned = asyncio.create_task(
        batcher.submit(["good", ValueError("poison")], Call("r", Deadline.after(60.0, clock)))
    )
    await device.settle()
    hanging = asyncio.create_task(batcher.submit(["hangs"], Call("r", Deadline.after(60.0, clock))))
    await device.settle()
    while device.is_busy:
        await device.end_pass()
    with pytest.raises(ValueError, match="poison"):
        await poisoned
    clock.now_s += 31.0
    assert batcher.overdue_s > 29.0
    never.set()
    await device.settle()
    await device.end_pass()
    assert await hanging == ["seen hangs"]
    await batcher.close()


async def test_uploading_that_fails_is_not_overdue(device, clock):
    async def upload(_, items):
        raise OSError("no room")

    batcher = Batcher(device.run_pass, {None: PassCosts(FLAT)}, 100, upload=upload, clock=clock)
    with pytest.raises(OSError, match="no room"):
        await batcher.submit(["a"], Call("r", Deadline.after(8.0, clock)))
    clock.now_s += 31.0
    assert batcher.overdue_s <= 0.0
    batcher.require_alive()
    await batcher.close()


@pytest.mark.parametrize("is_broken", [False, True])
async def test_a_device_that_fails_also_without_an_item_is_broken(device, clock, caplog, is_broken):
    """Three bad items in a row may come; only a device that is broken fails at black pixels too."""
    checked = []

    async def check(kind):
        checked.append(kind)
        if is_broken:
            raise RuntimeError("CUDA error: unspecified launch failure")

    costs: dict[Hashable, PassCosts] = {None: PassCosts(FLAT), "another": PassCosts(FLAT)}
    batcher: Batcher[object, str] = Batcher(device.run_pass, costs, 100, clock=clock, check=check)

    async def submit(item, kind=None):
        job = asyncio.create_task(batcher.submit([item], Call("r", Deadline.after(8.0, clock)), kind=kind))
        await device.end_pass()
        return await asyncio.gather(job, return_exceptions=True)

    for item in (ValueError(), ValueError(), "good", *(ValueError(), ValueError(), DeviceMemoryError("full"))):
        await submit(item)
        await submit("good", "another")
    assert checked == []
    batcher.require_alive()
    with caplog.at_level(logging.ERROR):
        await submit(ValueError())
    assert checked == [None]
    if is_broken:
        with pytest.raises(UnavailableError, match="fails at every pass"):
            batcher.require_alive()
        with pytest.raises(UnavailableError):
            await batcher.submit(["later"], Call("r", Deadline.after(8.0, clock)))
        assert "CUDA error" in caplog.text
    else:
        batcher.require_alive()
        assert await submit("good") == [["seen good"]]
    await batcher.close()
