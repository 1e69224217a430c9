"""The batcher with jobs of several sources: they share each pass, however many one of them sends."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.batching.batcher import Batcher
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import Call, Deadline, Lane, OverloadedError

SIZES = (1, 2, 4, 8)


def batcher_of(device, clock) -> Batcher[Any, Any]:
    costs: dict[Any, PassCosts] = {kind: PassCosts(dict.fromkeys(SIZES, 0.1)) for kind in ("one", "other")}
    return Batcher(device.run_pass, costs, max_queued_items=500, clock=clock)


@pytest.fixture
async def submit(device, clock):
    batcher = batcher_of(device, clock)

    def start(source, *items, within_s=8.0, lane=Lane.LIVE, share=1.0, kind="one"):
        call = Call("r", Deadline.after(within_s, clock), lane, source, share)
        return asyncio.create_task(batcher.submit(items, call, kind=kind))

    yield start
    await batcher.close()


async def test_a_pass_is_shared_with_a_source_that_waits_behind_many(submit, device):
    submit("many", "running")
    await device.settle()
    for number in range(40):
        submit("many", f"m{number}", within_s=5.0)
    few = [submit("few", f"f{number}", within_s=8.0) for number in range(4)]
    await device.end_pass()
    assert sorted(device.passes[1]) == ["f0", "f1", "f2", "f3", "m0", "m1", "m2", "m3"]
    await device.end_pass()
    assert all(job.done() for job in few)


async def test_a_picture_of_many_views_leaves_room_for_one_of_another_source(submit, device):
    submit("many", "running")
    await device.settle()
    submit("many", *range(60))
    short = submit("few", "short")
    await device.end_pass()
    await device.end_pass()
    assert short.done()


async def test_shares_are_weights(submit, device):
    submit("a", "running", share=3.0)
    await device.settle()
    for number in range(20):
        submit("a", f"a{number}", share=3.0)
        submit("b", f"b{number}")
    for _ in range(5):
        await device.end_pass()
    seen = [item[0] for each in device.passes[1:4] for item in each]
    assert (seen.count("a"), seen.count("b")) == (18, 6)
    while device.is_busy:
        await device.end_pass()


async def test_sources_with_different_labels_take_turns_too(submit, device):
    submit("a", "running")
    await device.settle()
    for number in range(40):
        submit("a", f"a{number}", within_s=4.0)
    submit("b", "b", within_s=8.0, kind="other")
    for _ in range(3):
        await device.end_pass()
    assert ["b"] in device.passes[1:3]


async def test_live_pictures_of_any_source_come_before_background_ones(submit, device):
    submit("a", "running")
    await device.settle()
    submit("a", "background", lane=Lane.BACKGROUND)
    for number in range(8):
        submit("b", number)
    await device.end_pass()
    assert device.passes[1] == list(range(8))


async def test_a_full_queue_has_places_for_a_source_that_comes(device, clock):
    batcher = Batcher[Any, Any](device.run_pass, {None: PassCosts({1: 0.1})}, max_queued_items=4, clock=clock)

    def submit(source, items=1, share=1.0):
        call = Call("r", Deadline.after(8.0, clock), Lane.LIVE, source, share)
        return asyncio.create_task(batcher.submit(range(items), call))

    submit("many")
    await device.settle()
    accepted = [submit("many") for _ in range(4)] + [submit("few") for _ in range(2)] + [submit("heavy", share=4.0)]
    await device.settle()
    refused = [submit("many"), submit("few"), submit("heavy", 3), submit("late", 2)]
    await device.settle()
    for job in refused:
        with pytest.raises(OverloadedError):
            job.result()
    accepted.append(submit("late"))
    await device.settle()
    assert batcher.waiting(Lane.LIVE) == 8, "twice full"
    last = submit("last")
    await device.settle()
    with pytest.raises(OverloadedError):
        last.result()
    assert not any(job.done() for job in accepted)
    await batcher.close()


async def test_the_backlog_of_one_source_is_no_wait_of_another(submit, device):
    submit("many", "running")
    await device.settle()
    backlog = submit("many", *range(72), within_s=1.0)
    more, few = submit("many", *range(24), within_s=1.05), submit("few", *range(24), within_s=1.05)
    await device.settle()
    with pytest.raises(OverloadedError, match="72 views wait"):
        more.result()
    while not few.done():
        await device.end_pass()
    assert few.result() == [f"seen {number}" for number in range(24)]
    with pytest.raises(OverloadedError, match="24 views are ahead"):
        backlog.result()  # with what others have their turns for, its end would be too late


async def test_when_passes_take_longer_the_backlog_of_the_other_source_is_refused(submit, device):
    submit("many", "running")
    await device.settle()
    backlog = [submit("many", f"m{number}", within_s=5.0) for number in range(300)]
    few = [submit("few", f"f{number}", within_s=5.05) for number in range(8)]
    for _ in range(2):
        await device.end_pass(0.8)
    assert any(job.done() and isinstance(job.exception(), OverloadedError) for job in backlog)
    await device.end_pass(0.8)
    assert [job.result() for job in few] == [[f"seen f{number}"] for number in range(8)]


async def test_a_pass_ends_before_the_earliest_deadline_of_all_sources_in_it(device, clock):
    costs = PassCosts({1: 0.1, 2: 0.2, 8: 0.5})
    batcher = Batcher[Any, Any](device.run_pass, {None: costs}, max_queued_items=99, clock=clock)

    def submit(source, item, within_s):
        call = Call("r", Deadline.after(within_s, clock), Lane.LIVE, source)
        return asyncio.create_task(batcher.submit([item], call))

    submit("b", "running", 8.0)
    await device.settle()
    loose = [submit("a", f"a{number}", 5.0) for number in range(7)]
    tight = submit("b", "b", 0.45)
    await device.end_pass(0.1)
    assert device.passes[1] == ["a0", "b"], "a pass of eight would end too late"
    await device.end_pass(0.2)
    assert tight.result() == ["seen b"]
    assert not all(job.done() for job in loose)
    await batcher.close()


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 12), st.floats(3, 9), st.sampled_from(["one", "other"])),
        max_size=30,
    )
)
@settings(deadline=None, max_examples=60)
def test_every_job_of_every_source_is_answered_in_order(new_device, jobs):
    async def play():
        device = new_device()
        batcher = batcher_of(device, device.clock)
        submitted = []
        for number, (source, size, within_s, kind) in enumerate(jobs):
            items = [f"{number}.{item}" for item in range(size)]
            call = Call("r", Deadline.after(100 + within_s, device.clock), Lane.LIVE, source)
            submitted.append((items, asyncio.create_task(batcher.submit(items, call, kind=kind))))
        await device.settle()
        while device.is_busy:
            await device.end_pass()
        for items, job in submitted:
            assert job.result() == [f"seen {item}" for item in items]
        await batcher.close()

    asyncio.run(play())
