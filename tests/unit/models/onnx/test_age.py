"""The classifier ``age``: what its network is shown, and how the years become one probability."""

from __future__ import annotations

import numpy as np

from serve_app.domain import CLASSIFIERS, FACE_SIZE_PX, needs_faces
from serve_app.models.onnx.age import AGE


def test_it_looks_at_faces_and_says_what_it_does_not_know() -> None:
    assert CLASSIFIERS["age"] == AGE.outputs == ("minor",)
    assert AGE.view_size_px == FACE_SIZE_PX
    assert AGE.notice is not None
    assert "its accuracy on children is unknown" in AGE.notice
    assert needs_faces("age/minor")
    assert not any(map(needs_faces, ("open-nsfw/nsfw", "age", "a minor")))


def test_faces_are_shown_channels_first_less_the_mean_of_each_channel() -> None:
    faces = np.zeros((2, FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8)
    faces[1, 3, 5] = (123, 117, 104)
    shown = AGE.prepare(faces)
    assert shown.shape == (2, 3, FACE_SIZE_PX, FACE_SIZE_PX)
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown[0, :, 0, 0], np.array([-122.781998, -117.000999, -104.297997]) / 256)
    np.testing.assert_allclose(shown[1, :, 3, 5], np.array([0.218002, -0.000999, -0.297997]) / 256, atol=1e-6)


def test_fewer_than_18_years_are_one_output() -> None:
    years = np.zeros((3, 81), np.float32)
    years[0, [0, 17]] = 0.5
    years[1, [17, 18]] = (0.25, 0.75)
    years[2, [18, 80]] = 0.5
    np.testing.assert_allclose(AGE.conclude(years), [[1.0], [0.25], [0.0]])
