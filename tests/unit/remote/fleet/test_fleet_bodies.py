"""Bodies in a fleet of workers of both kinds, in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.virtual_time import play
from serve_app.domain import (
    Body,
    Call,
    Deadline,
    OverloadedError,
    UnavailableError,
    UndecodableError,
    UnscannedReason,
)
from serve_app.remote.bodies import MOST_SENT_BODY_BYTES, RemoteBodies
from serve_app.remote.fleet import Answered
from serve_app.remote.messages import Failed
from tests.unit.remote.fleet.fleets import DEADLINE_S, GPU, Front

DECODER = replace(GPU, decoders=2)


def body(value: int, size_bytes: int = 200_000) -> Body:
    return Body.of(bytes([value]) * size_bytes)


def call_of(front: Front, number: int = 0) -> Call:
    return Call(str(number), Deadline.after(DEADLINE_S, front.loop.time))


async def answered(front: Front, value: int) -> Answered:
    return await front.fleet.examine(0, body(value), call_of(front, value))


def test_bodies_go_to_those_that_take_them_and_views_to_all() -> None:
    async def run() -> None:
        async with Front(GPU, DECODER) as front:
            answers = await asyncio.gather(*(answered(front, value) for value in range(50)))
            assert [each.scores.values.tolist() for each in answers] == [[[value]] for value in range(50)]
            assert {each.scores.worker for each in answers} == {front.members[1].name}
            await front.ask_at(100, 1)
            assert all(each.scores is not None for each in await front.answers())
            assert not front.workers[0].bodies
            assert all(each.works for each in front.workers)

    play(run())


def test_without_a_worker_that_takes_bodies_there_is_nobody() -> None:
    async def run() -> None:
        async with Front(GPU) as front:
            assert not RemoteBodies(front.fleet, 0).is_there
            with pytest.raises(UnavailableError):
                await answered(front, 1)

    play(run())


@pytest.mark.parametrize("has_second", [True, False])
def test_a_body_whose_worker_is_lost_is_handed_over_once(has_second: bool) -> None:
    async def run() -> None:
        async with Front(DECODER, *([DECODER] if has_second else []), GPU) as front:
            began_s = front.loop.time()
            asking = [asyncio.create_task(answered(front, value)) for value in range(20)]
            await asyncio.sleep(0.021)
            front.workers[0].lose()
            outcomes = await asyncio.gather(*asking, return_exceptions=True)
            assert front.workers[0].bodies
            if has_second:
                assert all(isinstance(each, Answered) for each in outcomes)
            else:
                assert all(isinstance(each, UnavailableError) for each in outcomes)
                assert front.loop.time() < began_s + DEADLINE_S / 2
            assert max([*front.told.times_handed_over.values(), 0]) <= 1

    play(run())


def test_what_takes_too_long_is_refused_while_the_front_can_still_do_it() -> None:
    async def run() -> None:
        async with Front(replace(DECODER, bytes_per_s=1e6)) as front:
            await front.measure()
            bodies = RemoteBodies(front.fleet, 0)
            with pytest.raises(UnavailableError, match="too large"):
                await bodies.examine(body(1, MOST_SENT_BODY_BYTES + 1), call_of(front))
            began_s = front.loop.time()
            asking = [
                asyncio.create_task(bodies.examine(body(value, 1_000_000), call_of(front))) for value in range(20)
            ]
            outcomes = await asyncio.gather(*asking, return_exceptions=True)
            assert any(isinstance(each, OverloadedError) for each in outcomes)
            assert front.loop.time() <= began_s + DEADLINE_S * 0.6 + 0.01

    play(run())


@pytest.mark.parametrize("reason", [UnscannedReason.UNDECODABLE, UnscannedReason.TOO_LARGE])
def test_a_body_that_cannot_be_decoded_is_not_handed_over(reason: UnscannedReason) -> None:
    async def run() -> None:
        async with Front(DECODER, DECODER) as front:
            asking = asyncio.create_task(front.fleet.examine(0, body(1), call_of(front)))
            await asyncio.sleep(0.001)
            holder = next(member for member in front.members if member.stats.in_flight)
            holder.received(Failed(1, reason, "no picture", 0.0))
            with pytest.raises(Exception, match=f"worker {holder.name}: no picture") as caught:
                await asking
            assert getattr(caught.value, "reason", None) is reason
            assert isinstance(caught.value, UndecodableError) is (reason is UnscannedReason.UNDECODABLE)
            assert not front.told.times_handed_over

    play(run())


def test_a_worker_that_gets_views_has_nothing_to_call_undecodable() -> None:
    async def run() -> None:
        async with Front(GPU, GPU) as front:
            outcome = front.ask()
            await asyncio.sleep(0.001)
            holder = next(member for member in front.members if member.stats.in_flight)
            holder.received(Failed(1, UnscannedReason.UNDECODABLE, "no picture", 0.0))
            await front.answers()
            assert outcome.scores is not None
            assert outcome.worker != holder.name

    play(run())


def test_an_answer_of_the_other_kind_ends_a_worker() -> None:
    async def run() -> None:
        async with Front(DECODER) as front:
            asking = asyncio.create_task(front.fleet.examine(0, body(1), call_of(front)))
            await asyncio.sleep(0.001)
            front.members[0].received(front.workers[0].scored(1, np.zeros((1, 1), np.float32), 0.0))
            with pytest.raises(UnavailableError):
                await asking
            assert front.members[0].has_ended

    play(run())
