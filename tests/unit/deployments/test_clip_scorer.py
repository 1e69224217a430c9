"""What a scorer tells the autoscaler about itself, with the fake engine."""

import numpy as np
import pytest

from deployments.clip_scorer import ClipScorer
from serve_app.domain import NO_FACES, Call, Deadline, Lane, LoadSignals, OverloadedError
from serve_app.models.agreement import PolicyReference
from serve_app.settings import LogSettings, ModelSettings

RED, GREEN = ("red",), ("green",)


@pytest.fixture
def scorer(monkeypatch):
    monkeypatch.setattr(ModelSettings, "max_queued_views", 4)
    policy = PolicyReference("red.yaml", "0" * 64)
    return ClipScorer(ModelSettings(source="fake"), [RED, GREEN], policy, 8.0, LogSettings())


def call(lane=Lane.LIVE):
    return Call("r-1", Deadline.after(8.0), lane)


def views(count, size_px):
    return np.zeros((count, size_px, size_px, 3), np.uint8)


NO_FACES_SENT = NO_FACES.pixels


async def test_an_idle_scorer_has_no_wait_and_no_load(scorer):
    assert await scorer.record_autoscaling_stats() == {
        "predicted_wait_s": 0.0,
        "offered_work": 0.0,
        "picture_s": 0.0,
        "deadline_s": 8.0,
    }


async def test_pictures_that_are_refused_are_part_of_the_offered_work(scorer):
    size_px = (await scorer.identify(RED)).image_size_px
    await scorer.score(RED, views(2, size_px), NO_FACES_SENT, call(), LoadSignals())
    answered = await scorer.record_autoscaling_stats()
    with pytest.raises(OverloadedError):
        await scorer.score(RED, views(6, size_px), NO_FACES_SENT, call(), LoadSignals())
    refused = await scorer.record_autoscaling_stats()
    assert refused["offered_work"] > answered["offered_work"] > 0.0
    assert refused["picture_s"] > answered["picture_s"] > 0.0


async def test_pictures_that_no_replica_saw_are_part_of_it_too_and_background_work_is_not(scorer):
    size_px = (await scorer.identify(RED)).image_size_px
    await scorer.score(RED, views(1, size_px), NO_FACES_SENT, call(Lane.BACKGROUND), LoadSignals())
    assert (await scorer.record_autoscaling_stats())["offered_work"] == 0.0
    await scorer.score(RED, views(1, size_px), NO_FACES_SENT, call(), LoadSignals())
    once = (await scorer.record_autoscaling_stats())["offered_work"]
    await scorer.score(RED, views(1, size_px), NO_FACES_SENT, call(), LoadSignals(demand=1000.0))
    # What a pass is taken to cost changes with each; by far less than this.
    assert (await scorer.record_autoscaling_stats())["offered_work"] > 100 * once
