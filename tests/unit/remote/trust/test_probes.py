"""Probe pictures: drawn again from their seeds, unlike each other, shaped like recent pictures."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import FACE_SIZE_PX, LabelScores, Lane, ModelIdentity
from serve_app.remote.trust.probes import PictureShape, Probe, RecentShapes
from serve_app.remote.trust.recorded_probes import RecordedProbes

SHAPE = PictureShape(0, 3, 1, Lane.LIVE, 7.5)
MODEL = ModelIdentity("small", "ab" * 32, 32)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(1, 5), st.integers(0, 3), st.sampled_from([8, 32, 64]))
def test_every_probe_is_drawn_again_as_it_was(seed: int, views: int, faces: int, size_px: int) -> None:
    probe = Probe.fresh(random.Random(seed), PictureShape(0, views, faces, Lane.LIVE, 7.0), size_px)
    drawn = asyncio.run(probe.views())
    np.testing.assert_array_equal(drawn.pixels, asyncio.run(probe.views()).pixels)
    np.testing.assert_array_equal(drawn.faces.pixels, asyncio.run(probe.views()).faces.pixels)
    assert drawn.pixels.shape == (views, size_px, size_px, 3)
    assert drawn.pixels.dtype == np.uint8
    assert drawn.faces.pixels.shape == (faces, FACE_SIZE_PX, FACE_SIZE_PX, 3)
    assert len({view.tobytes() for view in drawn.pixels}) == views


def test_no_two_probes_have_a_view_in_common() -> None:
    chance = random.Random(1)
    views = [view.tobytes() for _ in range(100) for view in asyncio.run(Probe.fresh(chance, SHAPE, 32).views()).pixels]
    assert len(set(views)) == len(views)


def test_grain_changes_the_bytes_of_every_view_and_no_pixel_by_more_than_one() -> None:
    probe = Probe.fresh(random.Random(1), SHAPE, 32)
    plain, grained = asyncio.run(probe.views()), asyncio.run(probe.views(grain_seed=7))
    for before, after in ((plain.pixels, grained.pixels), (plain.faces.pixels, grained.faces.pixels)):
        apart = np.abs(before.astype(int) - after)
        assert apart.max() == 1
        assert (apart.reshape(len(apart), -1).mean(axis=1) > 0.2).all()


def test_probes_have_the_shapes_of_recent_pictures() -> None:
    shapes, chance = RecentShapes(8.0), random.Random(1)
    recent = [PictureShape(0, views, views % 2, Lane.BACKGROUND, 7.0 + views / 10) for views in (1, 4, 7)]
    for shape in recent:
        shapes.add(shape)
    shapes.add(PictureShape(1, 2, 0, Lane.LIVE, 7.9))
    assert {shapes.one(chance, 0, with_faces=True) for _ in range(100)} == set(recent)


@pytest.mark.parametrize("shape", [PictureShape(0, 60, 0, Lane.LIVE, 7.0), PictureShape(0, 1, 0, Lane.LIVE, 0.2)])
def test_neither_videos_nor_pictures_that_were_nearly_too_late_are_copied(shape: PictureShape) -> None:
    shapes = RecentShapes(8.0)
    shapes.add(shape)
    assert shape not in {shapes.one(random.Random(seed), 0, with_faces=False) for seed in range(50)}


def test_before_the_first_picture_probes_are_like_ordinary_photographs() -> None:
    shapes = RecentShapes(8.0)
    drawn = [shapes.one(random.Random(seed), 0, with_faces=False) for seed in range(100)]
    assert {shape.views for shape in drawn} == {1, 3, 4}
    assert {shape.faces for shape in drawn} == {0}
    assert all(7.0 < shape.remaining_s < 8.0 for shape in drawn)


def test_a_recorded_probe_is_put_together_in_the_shape_that_is_wanted() -> None:
    recorded, chance = RecordedProbes(), random.Random(1)
    expected: dict[int, list[float]] = {}
    for number in range(5):
        probe = Probe.fresh(chance, SHAPE, 32)
        values = np.arange(8, dtype=np.float32).reshape(4, 2) + 10 * number
        expected |= dict(zip((*probe.seeds, *probe.face_seeds), values.tolist(), strict=True))
        recorded.add(probe, LabelScores(values, 100.0, MODEL, "one" if number else "other"))
    for views, faces in ((1, 0), (5, 2), (40, 0)):
        found = recorded.one(chance, PictureShape(0, views, faces, Lane.LIVE, 7.0), 32)
        assert found is not None
        probe, values = found
        assert (len(probe.seeds), len(probe.face_seeds)) == (views, faces)
        assert values.tolist() == [expected[seed] for seed in (*probe.seeds, *probe.face_seeds)]
    assert recorded.scored_by(0) == ["one", "other"]
    recorded.forget("one")
    assert recorded.scored_by(0) == ["other"]
    recorded.forget("other")
    assert not recorded.has(0)
    assert recorded.one(chance, SHAPE, 32) is None
