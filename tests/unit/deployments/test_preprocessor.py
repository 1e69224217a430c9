"""The decoding deployment without Ray: what it tells the autoscaler, and when it says that it is not healthy."""

import io

import pytest
from PIL import Image

from deployments.preprocessor import Preprocessor
from serve_app.domain import (
    Call,
    Deadline,
    Lane,
    LoadSignals,
    OnTruncated,
    UnavailableError,
)
from serve_app.media import MediaLimits
from serve_app.settings import LogSettings

ON_TRUNCATED = dict.fromkeys(Lane, OnTruncated.REFUSE)
LIMITS = MediaLimits(max_pixels=10_000)


def call(remaining_s):
    return Call("r-1", Deadline.after(remaining_s))


def drawn(width_px, height_px):
    body = io.BytesIO()
    Image.linear_gradient("L").resize((width_px, height_px)).convert("RGB").save(body, "PNG")
    return body.getvalue()


async def test_it_tells_the_autoscaler_of_its_work():
    preprocessor = Preprocessor(LIMITS, ON_TRUNCATED, deadline_s=8.0, labels=[], log=LogSettings(), workers=1)
    assert await preprocessor.record_autoscaling_stats() == {
        "predicted_wait_s": 0.0,
        "offered_work": 0.0,
        "picture_s": 0.0,
        "deadline_s": 8.0,
    }
    for _ in range(2):
        await preprocessor.preprocess(drawn(50, 50), 32, call(10.0), LoadSignals(), with_faces=False)
    stats = await preprocessor.record_autoscaling_stats()
    assert stats["predicted_wait_s"] == 0.0
    assert stats["offered_work"] > 0.0
    assert stats["picture_s"] > 0.0
    preprocessor.close()


def test_without_its_workers_it_is_not_healthy():
    preprocessor = Preprocessor(LIMITS, ON_TRUNCATED, deadline_s=8.0, labels=[], log=LogSettings(), workers=1)
    preprocessor.close()
    with pytest.raises(UnavailableError):
        preprocessor.check_health()
