"""What every scorer does: a row of scores for each view, by the model that it names, or an error of the domain."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from serve_app.domain import DeadlineExceededError, LabelScores, LoadSignals, NotScannedError, Scorer, ViewPlace, Views
from serve_app.models.fake import FakeEngine
from tests.contract.examining.conftest import ScorerOf
from tests.contract.examining.stages import LABELS, OTHER_LABELS, call

REFERENCE = FakeEngine(LABELS)


def views(*colours: tuple[int, int, int]) -> Views:
    """One view of each colour."""
    size_px = REFERENCE.identity.image_size_px
    pixels = np.empty((len(colours), size_px, size_px, 3), np.uint8)
    pixels[:] = np.array(colours, np.uint8)[:, np.newaxis, np.newaxis]
    places = tuple(ViewPlace(0, (0.0, 0.0, 1.0, 1.0)) for _ in colours)
    return Views(pixels, places, "image/png", 1, 1)


async def score(scorer: Scorer, *colours: tuple[int, int, int], remaining_s: float = 8.0) -> LabelScores:
    return await scorer.score(views(*colours), call(remaining_s), LoadSignals())


async def test_it_names_its_model(scorer: Scorer) -> None:
    assert await scorer.identify(call().deadline) == REFERENCE.identity


@pytest.mark.parametrize("count", [1, 3, 7])
async def test_every_view_has_the_scores_that_the_engine_gives_it(scorer: Scorer, count: int) -> None:
    colours = [(255, 40 * number, 20 * number) for number in range(count)]
    scores = await score(scorer, *colours)
    np.testing.assert_allclose(scores.values, REFERENCE.encode(views(*colours).pixels), atol=1e-6)
    assert (scores.values.dtype, scores.values.shape) == (np.dtype(np.float32), (count, len(LABELS)))
    assert (scores.logit_scale, scores.model) == (REFERENCE.logit_scale, REFERENCE.identity)


async def test_every_caller_gets_the_scores_of_its_own_views(scorer: Scorer) -> None:
    colours = [(30 * number, 0, 255) for number in range(8)]
    scored = await asyncio.gather(*(score(scorer, colour, colour) for colour in colours))
    for colour, scores in zip(colours, scored, strict=True):
        np.testing.assert_allclose(scores.values, REFERENCE.encode(views(colour, colour).pixels), atol=1e-6)


async def test_scorers_of_one_device_each_give_the_scores_of_their_own_labels(scorer_of: ScorerOf) -> None:
    colours = [(30 * number, 0, 255) for number in range(8)]
    sets = [LABELS, OTHER_LABELS] * 4
    scorers = {labels: scorer_of(labels) for labels in set(sets)}
    scored = await asyncio.gather(
        *(score(scorers[labels], colour) for labels, colour in zip(sets, colours, strict=True))
    )
    for labels, colour, scores in zip(sets, colours, scored, strict=True):
        np.testing.assert_allclose(scores.values, FakeEngine(labels).encode(views(colour).pixels), atol=1e-6)


async def test_without_time_it_neither_scores_nor_names_its_model(scorer: Scorer) -> None:
    with pytest.raises(NotScannedError):
        await score(scorer, (255, 0, 0), remaining_s=0.0)
    with pytest.raises(DeadlineExceededError):
        await scorer.identify(call(0.0).deadline)


async def test_a_caller_that_goes_away_takes_no_neighbour_with_it(scorer: Scorer) -> None:
    leaving = asyncio.ensure_future(score(scorer, (255, 0, 0)))
    staying = asyncio.ensure_future(score(scorer, (0, 255, 0)))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    np.testing.assert_allclose((await staying).values, REFERENCE.encode(views((0, 255, 0)).pixels), atol=1e-6)
