"""What every preprocessor does: the views that the decoder cuts, or an error of the domain, picture by picture."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from serve_app.domain import (
    DeadlineExceededError,
    Lane,
    LoadSignals,
    Preprocessor,
    TooLargeError,
    TruncatedError,
    UnscannedError,
    UnsupportedError,
    Views,
)
from serve_app.media import preprocess
from tests.contract.examining.stages import BLUE, LIMITS, RED, call, drawn

SIZE_PX = 32
CUT = drawn(size=(60, 60))[:-20]


async def ask(preprocessor: Preprocessor, body: bytes, remaining_s: float = 8.0, size_px: int = SIZE_PX) -> Views:
    return await preprocessor.preprocess(body, size_px, call(remaining_s), LoadSignals())


@pytest.mark.parametrize("size", [(40, 40), (90, 30), (20, 64)], ids=str)
@pytest.mark.parametrize("size_px", [16, SIZE_PX])
async def test_the_views_are_those_that_the_decoder_cuts(
    preprocessor: Preprocessor, size: tuple[int, int], size_px: int
) -> None:
    body = drawn(size=size)
    expected = preprocess(body, size_px, LIMITS, call().deadline)
    views = await ask(preprocessor, body, size_px=size_px)
    np.testing.assert_array_equal(views.pixels, expected.pixels)
    assert (views.pixels.dtype, views.pixels.shape[1:]) == (np.dtype(np.uint8), (size_px, size_px, 3))
    assert (views.places, views.fingerprints) == (expected.places, expected.fingerprints)
    assert len(views.places) == len(views.pixels)
    assert (views.media_type, views.frames_seen, views.frames_total) == ("image/png", 1, 1)
    assert not views.is_truncated


@pytest.mark.parametrize(
    ("body", "remaining_s", "kind"),
    [
        (b"no picture", 8.0, UnsupportedError),
        (CUT, 8.0, TruncatedError),
        (drawn(size=(200, 100)), 8.0, TooLargeError),
        (drawn(), 0.0, DeadlineExceededError),
    ],
)
async def test_a_picture_that_cannot_be_read_is_one_of_the_domains_errors_and_harms_no_other(
    preprocessor: Preprocessor, body: bytes, remaining_s: float, kind: type[UnscannedError]
) -> None:
    bad, good = await asyncio.gather(
        ask(preprocessor, body, remaining_s), ask(preprocessor, drawn()), return_exceptions=True
    )
    assert type(bad) is kind
    assert isinstance(good, Views)


async def test_every_caller_gets_the_views_of_its_own_picture(preprocessor: Preprocessor) -> None:
    colours = [RED, BLUE] * 3
    views = await asyncio.gather(*(ask(preprocessor, drawn(colour)) for colour in colours))
    assert [tuple(each.pixels[0, 0, 0]) for each in views] == colours


@pytest.mark.parametrize("lane", Lane)
async def test_a_caller_that_goes_away_leaves_it_usable(preprocessor: Preprocessor, lane: Lane) -> None:
    leaving = asyncio.ensure_future(preprocessor.preprocess(drawn(), SIZE_PX, call(lane=lane), LoadSignals()))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert isinstance(await ask(preprocessor, drawn()), Views)
