"""Stages are timed once and told to every observer; none of them can harm the answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence

import pytest

from serve_app.batching import Batcher, PassCosts
from serve_app.domain import Call, Deadline
from serve_app.stages import Stage, observe_stages, timed

CALL = Call("r-1", Deadline.after(math.inf))

Told = list[tuple[Stage, str, float, float]]


@pytest.fixture
def told() -> Iterator[Told]:
    seen: Told = []

    def note(stage: Stage, call: Call, began_s: float, ended_s: float) -> None:
        seen.append((stage, call.request_id, began_s, ended_s))

    forget = observe_stages(note)
    yield seen
    forget()


def test_a_stage_is_told_at_its_end_with_its_call(told: Told) -> None:
    with timed(Stage.JUDGE, CALL):
        assert told == []
    ((stage, request_id, began_s, ended_s),) = told
    assert (stage, request_id) == (Stage.JUDGE, "r-1")
    assert began_s <= ended_s


def test_a_stage_that_fails_is_told_too(told: Told) -> None:
    with pytest.raises(LookupError), timed(Stage.KNOWN, CALL):
        raise LookupError
    assert [stage for stage, *_ in told] == [Stage.KNOWN]


def test_an_observer_that_raises_harms_neither_the_stage_nor_other_observers(told: Told) -> None:
    def broken(*_: object) -> None:
        raise OSError

    forget = observe_stages(broken)
    try:
        with timed(Stage.RECORD, CALL):
            pass
    finally:
        forget()
    assert [stage for stage, *_ in told] == [Stage.RECORD]


def test_nobody_is_told_after_forgetting() -> None:
    seen: list[object] = []
    observe_stages(lambda *stage: seen.append(stage))()
    with timed(Stage.RECORD, CALL):
        pass
    assert seen == []


async def test_a_job_in_several_passes_waits_once_and_ends_with_the_last_one(told: Told) -> None:

    async def run_pass(_: object, items: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        return items

    batcher: Batcher[int, int] = Batcher(run_pass, {None: PassCosts({1: 0.001, 2: 0.001})}, max_queued_items=10)
    assert await batcher.submit([1, 2, 3], CALL) == [1, 2, 3]
    await batcher.close()
    wait, score = told
    assert (wait[0], score[0]) == (Stage.BATCH_WAIT, Stage.SCORE_PASS)
    assert wait[2] <= wait[3] == score[2] <= score[3]
