"""A view has the largest score of the faces inside it, and none where there is no face: unknown, not zero."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app.domain import FACE_SIZE_PX, Examination, Faces, LabelScores, ModelIdentity, ViewPlace, Views

NAN = float("nan")
WHOLE, LEFT, RIGHT = (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.6, 1.0), (0.4, 0.0, 1.0, 1.0)


def views_with(views: list[ViewPlace], faces: list[ViewPlace]) -> Views:
    return Views(
        np.zeros((len(views), 8, 8, 3), np.uint8),
        tuple(views),
        "image/png",
        1,
        1,
        faces=Faces(np.zeros((len(faces), FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8), tuple(faces)),
    )


def settled(views: Views, values: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The scores of the views; the first column is of a classifier of views, the second of one of faces."""
    scores = LabelScores(np.array(values, np.float32), 1.0, ModelIdentity("two", "0" * 64, 8))
    examination = Examination.of(views, scores)
    assert len(examination.scores.values) == len(examination.places)
    return [tuple(row) for row in examination.scores.values.tolist()]


def face(left: float, right: float, frame: int = 0) -> ViewPlace:
    return ViewPlace(frame, (left, 0.4, right, 0.6))


def test_each_view_has_the_largest_of_its_faces() -> None:
    views = views_with([ViewPlace(0, WHOLE), ViewPlace(0, LEFT), ViewPlace(0, RIGHT)], [face(0.1, 0.2), face(0.8, 0.9)])
    values = [(0.5, NAN), (0.25, NAN), (0.75, NAN), (NAN, 0.125), (NAN, 1.0)]
    assert settled(views, values) == [(0.5, 1.0), (0.25, 0.125), (0.75, 1.0)]


def test_a_face_counts_where_its_middle_is() -> None:
    views = views_with([ViewPlace(0, LEFT), ViewPlace(0, RIGHT)], [face(0.55, 0.75)])
    (_, left), (_, right) = settled(views, [(0.0, NAN), (0.0, NAN), (NAN, 1.0)])
    assert np.isnan(left)
    assert right == 1.0


def test_a_face_is_of_its_own_frame() -> None:
    views = views_with([ViewPlace(0, WHOLE), ViewPlace(7, WHOLE)], [face(0.1, 0.2, frame=7)])
    (_, first), (_, last) = settled(views, [(0.0, NAN), (0.0, NAN), (NAN, 0.5)])
    assert np.isnan(first)
    assert last == 0.5


@pytest.mark.parametrize("own", [NAN, 0.25])
def test_without_a_face_scores_are_as_they_are(own: float) -> None:
    np.testing.assert_equal(settled(views_with([ViewPlace(0, WHOLE)], []), [(0.5, own)]), [(0.5, own)])
