"""The two stages behind the examiner: what each is told, and when the model is asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    DeadlineExceededError,
    Examination,
    Lane,
    LoadSignals,
    OverloadedError,
    UnavailableError,
    UndecodableError,
)
from serve_app.moderation import Pipeline

if TYPE_CHECKING:
    from tests.unit.conftest import Service


def call(lane: Lane = Lane.LIVE, seconds: float = 8.0) -> Call:
    return Call("r-1", Deadline.after(seconds), lane)


@pytest.fixture
def pipeline(service: Service) -> Pipeline:
    return Pipeline(service.preprocessor, service.scorer, lambda: 2.5)


async def test_the_scorer_is_told_how_many_live_pictures_are_being_preprocessed(
    service: Service, pipeline: Pipeline, draw: Callable[..., bytes]
) -> None:
    await pipeline.examine(Body.of(draw()), call())
    service.preprocessor.hangs = True
    lanes = (Lane.LIVE, Lane.BACKGROUND, Lane.LIVE)
    examining = [asyncio.create_task(pipeline.examine(Body.of(draw()), call(lane))) for lane in lanes]
    await asyncio.sleep(0)
    assert service.preprocessor.calls == 1 + len(lanes)
    service.preprocessor.hangs = False
    await pipeline.examine(Body.of(draw()), call())
    service.preprocessor.release.set()
    await asyncio.gather(*examining)
    assert service.scorer.loads[:2] == [LoadSignals(2.5, coming=0), LoadSignals(2.5, coming=2)]
    await pipeline.examine(Body.of(draw()), call())
    assert service.scorer.loads[-1] == LoadSignals(2.5, coming=0)


async def test_faces_are_cut_for_a_scorer_that_looks_at_them(service: Service, draw: Callable[..., bytes]) -> None:
    for with_faces in (True, False):
        pipeline = Pipeline(service.preprocessor, service.scorer, with_faces=with_faces)
        await pipeline.examine(Body.of(draw()), call())
    assert service.preprocessor.with_faces == [True, False]


async def test_a_scorer_that_was_lost_is_asked_for_its_model_again(
    service: Service, pipeline: Pipeline, draw: Callable[..., bytes]
) -> None:
    await pipeline.examine(Body.of(draw()), call())
    service.scorer.fault = UnavailableError("lost")
    with pytest.raises(UnavailableError):
        await pipeline.examine(Body.of(draw()), call())
    assert pipeline.model is None
    service.scorer.fault = None
    await pipeline.examine(Body.of(draw()), call())
    assert pipeline.model == service.scorer.engine.identity


async def test_whoever_asks_for_the_model_keeps_a_deadline_of_their_own(service: Service, pipeline: Pipeline) -> None:
    service.scorer.sleeps = True
    hurried = asyncio.create_task(pipeline.identify(Deadline.after(0.02)))
    patient = asyncio.create_task(pipeline.identify(Deadline.after(8.0)))
    with pytest.raises(DeadlineExceededError):
        await hurried
    service.scorer.release.set()
    assert await patient == service.scorer.engine.identity


class Elsewhere:
    """Workers that take bodies, or fail."""

    def __init__(self, examination: Examination) -> None:
        self.examination = examination
        self.is_there = True
        self.fault: Exception | None = None

    async def examine(self, body: Body, call: Call) -> Examination:
        if self.fault is not None:
            raise self.fault
        return self.examination


@pytest.fixture
async def elsewhere(pipeline: Pipeline, draw: Callable[..., bytes]) -> Elsewhere:
    return Elsewhere(await pipeline.examine(Body.of(draw()), call()))


@pytest.mark.parametrize("is_there", [True, False])
async def test_nothing_is_decoded_here_while_a_worker_that_takes_bodies_is_there(
    service: Service, elsewhere: Elsewhere, draw: Callable[..., bytes], is_there: bool
) -> None:
    pipeline = Pipeline(service.preprocessor, service.scorer, elsewhere=elsewhere)
    elsewhere.is_there = is_there
    before = service.preprocessor.calls
    examination = await pipeline.examine(Body.of(draw()), call())
    assert (examination is elsewhere.examination) is is_there
    assert service.preprocessor.calls == before + (not is_there)
    assert pipeline.model == examination.scores.model


async def test_bodies_that_a_worker_fails_on_are_decoded_here(
    service: Service, elsewhere: Elsewhere, draw: Callable[..., bytes]
) -> None:
    pipeline = Pipeline(service.preprocessor, service.scorer, elsewhere=elsewhere)
    for fault in (UnavailableError("lost"), OverloadedError("full"), DeadlineExceededError("late")):
        elsewhere.fault = fault
        before = service.preprocessor.calls
        assert await pipeline.examine(Body.of(draw()), call()) is not elsewhere.examination
        assert service.preprocessor.calls == before + 1
        with pytest.raises(DeadlineExceededError, match="no time was left for decoding"):
            await pipeline.examine(Body.of(draw()), call(seconds=0.0))


async def test_bytes_that_a_worker_calls_undecodable_are_decoded_here(
    service: Service, elsewhere: Elsewhere, draw: Callable[..., bytes]
) -> None:
    pipeline = Pipeline(service.preprocessor, service.scorer, elsewhere=elsewhere)
    before, elsewhere.fault = service.preprocessor.calls, UndecodableError("worker a/b: no picture")
    assert (await pipeline.examine(Body.of(draw()), call())).media_type
    assert service.preprocessor.calls == before + 1
