"""The batcher with items of several kinds: a pass computes one thing, and no kind waits for another for long."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.batching.batcher import Batcher
from serve_app.batching.pass_costs import CostsOfKinds, PassCosts
from serve_app.domain import Call, Deadline, Lane, OverloadedError

CHEAP_S, DEAR_S = 0.1, 1.0

Costs = dict[Any, PassCosts]


def costs() -> Costs:
    return {"cheap": PassCosts(dict.fromkeys((1, 2, 4, 8), CHEAP_S)), "dear": PassCosts({1: DEAR_S, 2: DEAR_S})}


@pytest.fixture
async def batcher(device, clock):
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, costs(), max_queued_items=20, clock=clock)
    yield batcher
    await batcher.close()


@pytest.fixture
def submit(batcher, clock):
    def start(kind, *items, within_s=8.0, lane=Lane.LIVE):
        call = Call("r", Deadline.after(within_s, clock), lane)
        return asyncio.create_task(batcher.submit(items, call, kind=kind))

    return start


async def test_a_pass_has_items_of_the_kind_that_is_due_first(submit, device):
    submit("cheap", "running")
    await device.settle()
    jobs = [
        submit("cheap", "a", within_s=7.0),
        submit("dear", "b", within_s=6.0),
        submit("cheap", "c", within_s=5.0),
        submit("dear", "d", within_s=8.0),
    ]
    for _ in range(3):
        await device.end_pass()
    assert device.passes == [["running"], ["c", "a"], ["b", "d"]]
    assert device.kinds == ["cheap", "cheap", "dear"]
    assert [job.result() for job in jobs] == [["seen a"], ["seen b"], ["seen c"], ["seen d"]]


async def test_a_batch_is_no_larger_than_its_kind_allows(submit, device):
    submit("dear", *"abc")
    submit("cheap", *"defg", within_s=9.0)
    for _ in range(3):
        await device.end_pass()
    assert device.passes == [["a", "b"], ["c"], ["d", "e", "f", "g"]]


async def test_items_that_are_due_later_fill_a_pass_only_as_far_as_it_still_ends_in_time(device, clock):
    of_kinds: Costs = {"cheap": PassCosts({1: 0.1, 2: 0.15, 4: 0.5}), "dear": PassCosts({1: DEAR_S})}
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, of_kinds, max_queued_items=20, clock=clock)
    jobs = [
        asyncio.create_task(batcher.submit([item], Call("r", Deadline.after(within_s, clock)), kind=kind))
        for kind, item, within_s in [
            ("dear", "next", 1.5),
            ("cheap", "urgent", 0.3),
            *(("cheap", at, 8.0) for at in "abc"),
        ]
    ]
    for seconds in (0.15, DEAR_S, 0.15):
        await device.end_pass(seconds)
    assert device.passes == [["urgent", "a"], ["next"], ["b", "c"]]
    assert all(job.done() for job in jobs)
    await batcher.close()


async def test_what_is_ahead_costs_what_its_kind_costs(submit, device, batcher):
    submit("cheap", "running")
    await device.settle()
    submit("dear", *"abcd", within_s=4.0)
    await device.settle()
    assert batcher.predicted_wait_s == pytest.approx(CHEAP_S + 2 * DEAR_S)
    with pytest.raises(OverloadedError, match=r"about 2\.2 s of work"):
        await submit("cheap", "late", within_s=2.15, lane=Lane.BACKGROUND)
    in_time = submit("cheap", "in time", within_s=2.25, lane=Lane.BACKGROUND)
    await device.settle()
    assert not in_time.done()


async def test_room_in_the_queue_is_for_all_kinds_together(submit, device):
    submit("cheap", "running")
    await device.settle()
    submit("cheap", *range(19))
    await device.settle()
    with pytest.raises(OverloadedError, match="19 views wait"):
        await submit("dear", "a", "b")


async def test_a_kind_learns_from_its_own_passes_alone(device, clock):
    of_kinds = costs()
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, of_kinds, max_queued_items=20, clock=clock)
    task = asyncio.create_task(batcher.submit(["a"], Call("r", Deadline.after(60.0, clock)), kind="cheap"))
    await device.end_pass(10 * CHEAP_S)
    assert await task == ["seen a"]
    assert of_kinds["cheap"].pass_s(1) > 2 * CHEAP_S
    assert of_kinds["dear"].pass_s(1) == DEAR_S
    await batcher.close()


async def test_it_waits_for_what_is_coming_of_the_same_kind(device, clock):
    of_kinds: Costs = {kind: PassCosts(dict.fromkeys((1, 2, 4), 1000.0)) for kind in ("cheap", "dear")}
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, of_kinds, 20, idle_s=lambda: 0.0, clock=clock)

    def submit(kind, item, coming):
        call = Call("r", Deadline.after(1e6, clock))
        return asyncio.create_task(batcher.submit([item], call, coming, kind))

    jobs = [submit("cheap", "a", coming=1), submit("dear", "b", coming=0)]
    await device.settle()
    assert device.passes == []
    jobs.append(submit("cheap", "c", coming=0))
    await device.settle()
    assert device.passes == [["a", "c"]]
    await batcher.close()
    await asyncio.gather(*jobs, return_exceptions=True)


async def test_batches_of_two_kinds_are_uploaded_each_for_its_own(device, clock):
    uploaded = []

    async def upload(kind, items):
        uploaded.append((kind, list(items)))
        return items

    of_kinds = costs()
    for _ in range(50):
        of_kinds["cheap"].observe_upload(10 * DEAR_S)  # so that the next batch is uploaded once a pass has begun
    batcher: Batcher[Any, Any] = Batcher(device.run_pass, of_kinds, 20, upload=upload, clock=clock)
    jobs = []
    for kind, item in (("cheap", "a"), ("dear", "b")):
        call = Call("r", Deadline.after(60.0, clock))
        jobs.append(asyncio.create_task(batcher.submit([item], call, kind=kind)))
        await device.settle()
    assert uploaded == [("cheap", ["a"]), ("dear", ["b"])]
    assert batcher.predicted_wait_s == pytest.approx(CHEAP_S + DEAR_S)
    for _ in range(2):
        await device.end_pass()
    assert device.kinds == ["cheap", "dear"]
    assert [job.result() for job in jobs] == [["seen a"], ["seen b"]]
    await batcher.close()


def test_the_costs_of_all_kinds_add_up():
    of_kinds = CostsOfKinds(costs())
    assert of_kinds.longest_pass_s == DEAR_S
    assert of_kinds.total_s({"cheap": 9, "dear": 3}) == pytest.approx(2 * CHEAP_S + 2 * DEAR_S)


@given(
    st.lists(
        st.one_of(
            st.just(None),
            st.tuples(st.sampled_from(["cheap", "dear"]), st.integers(1, 5), st.floats(0.05, 20.0)),
        ),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=60, deadline=None)
def test_every_pass_holds_what_is_due_first_and_one_kind(new_device, steps):
    """Each step submits a job of some kind and size, or ends a pass."""

    async def play():
        device = new_device()
        batcher: Batcher[Any, Any] = Batcher(device.run_pass, costs(), max_queued_items=200, clock=device.clock)
        waiting: dict[Any, float] = {}  # of each item that no pass has seen, when it is due
        tasks = []
        for number, step in enumerate(steps):
            begun = len(device.passes)
            if step is None:
                if device.is_busy:
                    await device.end_pass()
            else:
                kind, size, within_s = step
                items = [(kind, number, index) for index in range(size)]
                call = Call("r", Deadline.after(within_s, device.clock))
                task = asyncio.create_task(batcher.submit(items, call, kind=kind))
                tasks.append((task, items))
                waiting |= dict.fromkeys(items, call.deadline.at_s)
                await device.settle()
            for task, items in tasks:
                if task.done():  # with its outcomes, or refused
                    for item in items:
                        waiting.pop(item, None)
            for kind, items in zip(device.kinds[begun:], device.passes[begun:], strict=True):
                assert {item[0] for item in items} == {kind}
                in_time = min(waiting.get(item, float("inf")) for item in items)
                for item in items:
                    waiting.pop(item, None)
                assert all(in_time <= due_s for due_s in waiting.values())
        await batcher.close()
        for task, items in tasks:
            await asyncio.wait({task})
            assert task.exception() is not None or task.result() == [f"seen {item}" for item in items]

    asyncio.run(play())
