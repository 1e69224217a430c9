"""The decoding deployment without Ray: what it passes on, and when it says that it is not healthy."""

import io

import numpy as np
import pytest
from PIL import Image

from deployments.preprocessor import Preprocessor
from serve_app.domain import (
    Call,
    Deadline,
    DeadlineExceededError,
    Lane,
    LoadSignals,
    OnTruncated,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from serve_app.media import MediaLimits, preprocess

ON_TRUNCATED = dict.fromkeys(Lane, OnTruncated.REFUSE)
LIMITS = MediaLimits(max_pixels=10_000)


@pytest.fixture(scope="module")
def preprocessor():
    preprocessor = Preprocessor(LIMITS, ON_TRUNCATED, deadline_s=8.0, workers=1)
    yield preprocessor
    preprocessor.close()


def call(remaining_s):
    return Call("r-1", Deadline.after(remaining_s))


def drawn(width_px, height_px):
    body = io.BytesIO()
    Image.linear_gradient("L").resize((width_px, height_px)).convert("RGB").save(body, "PNG")
    return body.getvalue()


async def test_a_worker_makes_the_same_views_as_the_function(preprocessor):
    body = drawn(120, 40)
    here, there = (
        preprocess(body, 32, LIMITS, Deadline.after(10)),
        await preprocessor.preprocess(body, 32, call(10.0), LoadSignals()),
    )
    assert np.array_equal(here.pixels, there.pixels)
    assert here.places == there.places
    assert (here.media_type, here.frames_seen, here.frames_total) == ("image/png", 1, 1)
    assert (there.media_type, there.frames_seen, there.frames_total) == ("image/png", 1, 1)


@pytest.mark.parametrize(
    ("body", "remaining_s", "kind"),
    [
        (drawn(200, 100), 10.0, TooLargeError),
        (b"no picture", 10.0, UnsupportedError),
        (drawn(50, 50), 0.0, DeadlineExceededError),
    ],
)
async def test_what_cannot_be_read_is_told_in_the_words_of_the_domain(preprocessor, body, remaining_s, kind):
    with pytest.raises(kind):
        await preprocessor.preprocess(body, 32, call(remaining_s), LoadSignals())
    preprocessor.check_health()


async def test_it_tells_the_autoscaler_of_its_work():
    preprocessor = Preprocessor(LIMITS, ON_TRUNCATED, deadline_s=8.0, workers=1)
    assert await preprocessor.record_autoscaling_stats() == {
        "predicted_wait_s": 0.0,
        "offered_work": 0.0,
        "picture_s": 0.0,
        "deadline_s": 8.0,
    }
    for _ in range(2):
        await preprocessor.preprocess(drawn(50, 50), 32, call(10.0), LoadSignals())
    stats = await preprocessor.record_autoscaling_stats()
    assert stats["predicted_wait_s"] == 0.0
    assert stats["offered_work"] > 0.0
    assert stats["picture_s"] > 0.0
    preprocessor.close()


def test_without_its_workers_it_is_not_healthy():
    preprocessor = Preprocessor(LIMITS, ON_TRUNCATED, deadline_s=8.0, workers=1)
    preprocessor.close()
    with pytest.raises(UnavailableError):
        preprocessor.check_health()
