"""What every examiner does for the moderator: all that a judgement needs of one picture, or an error of the domain."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from serve_app.domain import (
    Body,
    DeadlineExceededError,
    Examination,
    Examiner,
    Lane,
    TooLargeError,
    UndecodableError,
    UnscannedError,
    UnsupportedError,
)
from serve_app.media import preprocess
from serve_app.models.fake import FakeEngine
from tests.contract.examining.conftest import ExaminerOf
from tests.contract.examining.stages import BLUE, GREEN, LABELS, LIMITS, OTHER_LABELS, RED, call, drawn

REFERENCE = FakeEngine(LABELS)


async def examine(examiner: Examiner, body: bytes, remaining_s: float = 8.0, lane: Lane = Lane.LIVE) -> Examination:
    return await examiner.examine(Body.of(body), call(remaining_s, lane))


async def test_the_model_is_known_once_it_has_answered(examiner: Examiner) -> None:
    assert examiner.model is None
    assert await examiner.identify(call().deadline) == REFERENCE.identity
    assert examiner.model == REFERENCE.identity


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("size", [(40, 40), (90, 30)], ids=str)
async def test_an_examination_is_that_of_the_decoder_and_the_engine(
    examiner: Examiner, size: tuple[int, int], lane: Lane
) -> None:
    body = drawn(GREEN, size)
    views = preprocess(body, REFERENCE.identity.image_size_px, LIMITS, call().deadline)
    seen = await examine(examiner, body, lane=lane)  # nobody has asked for the model before
    np.testing.assert_allclose(seen.scores.values, REFERENCE.encode(views.pixels), atol=1e-6)
    assert seen.scores.model == examiner.model == REFERENCE.identity
    assert seen.places == views.places
    assert len(seen.places) == len(seen.scores.values)
    assert seen.fingerprints == views.fingerprints
    assert seen.fingerprints
    assert (seen.media_type, seen.frames_seen, seen.frames_total) == ("image/png", 1, 1)
    assert (seen.is_truncated, seen.is_recalled) == (False, False)
    assert seen.preprocess_ms > 0
    assert seen.score_ms > 0


@pytest.mark.parametrize(
    ("body", "remaining_s", "kind"),
    [
        (b"no picture", 8.0, UnsupportedError),
        (drawn()[:30] + bytes(30) + drawn()[60:], 8.0, UndecodableError),
        (drawn(size=(200, 100)), 8.0, TooLargeError),
        (drawn(), 0.0, DeadlineExceededError),
    ],
)
async def test_a_picture_that_cannot_be_scanned_is_one_of_the_domains_errors_and_harms_no_other(
    examiner: Examiner, body: bytes, remaining_s: float, kind: type[UnscannedError]
) -> None:
    bad, good = await asyncio.gather(
        examine(examiner, body, remaining_s), examine(examiner, drawn()), return_exceptions=True
    )
    assert type(bad) is kind
    assert isinstance(good, Examination)


async def test_every_caller_gets_the_examination_of_its_own_picture(examiner: Examiner) -> None:
    colours = [RED, GREEN, BLUE] * 2
    seen = await asyncio.gather(*(examine(examiner, drawn(colour)) for colour in colours))
    found = [tuple(each.scores.values[0].round(3).tolist()) for each in seen]
    assert found == [{RED: (1.0, -0.5), GREEN: (-0.5, 1.0), BLUE: (-0.5, -0.5)}[colour] for colour in colours]


async def test_examiners_over_the_same_stages_each_see_their_own_labels(examiner_of: ExaminerOf) -> None:
    examiner, other = examiner_of(LABELS), examiner_of(OTHER_LABELS)
    asked = [examine(each, drawn(colour)) for colour in (RED, GREEN) for each in (examiner, other)]
    seen = [each.scores.values[0].round(3).tolist() for each in await asyncio.gather(*asked)]
    assert seen == [[1.0, -0.5], [-0.5, -0.5, 1.0], [-0.5, 1.0], [-0.5, 1.0, -0.5]]


async def test_a_caller_that_goes_away_takes_no_neighbour_with_it(examiner: Examiner) -> None:
    # Both wait for the model, for which the one who came first has asked.
    leaving = asyncio.ensure_future(examine(examiner, drawn()))
    staying = asyncio.ensure_future(examine(examiner, drawn(GREEN)))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert isinstance(await staying, Examination)
