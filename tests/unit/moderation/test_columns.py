"""Columns of other sources are added to an examination of the same views, and to no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serve_app.domain import Examination, LabelScores, ModelIdentity, Recollection, ViewPlace
from serve_app.moderation.columns import with_recalled_columns

MODEL = ModelIdentity("fake", "0" * 64, 8)
PLACES = (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)), ViewPlace(1, (0.0, 0.0, 1.0, 1.0)))
WANTED = {"red", "green", "blue"}


def seen(*columns: float) -> Examination:
    """One value for each column, in both views."""
    values = np.array([columns, columns], np.float32)
    return Examination(LabelScores(values, 100.0, MODEL), PLACES, "image/gif", 2, 2)


EARLIER = Recollection(seen(0.1, 0.2, 0.3), ("red", "green", "long ago"))


def test_the_columns_that_other_sources_want_stay() -> None:
    examination, labels = with_recalled_columns(seen(0.7, 0.8), ("green", "blue"), EARLIER, WANTED)
    assert labels == ("green", "blue", "red")
    np.testing.assert_array_equal(examination.scores.values, np.array([[0.7, 0.8, 0.1]] * 2, np.float32))


@pytest.mark.parametrize(
    "recalled",
    [
        None,
        replace(EARLIER, examination=replace(EARLIER.examination, places=PLACES[:1])),
        replace(EARLIER, examination=replace(EARLIER.examination, scores=replace(seen(1, 1, 1).scores, logit_scale=1))),
        replace(
            EARLIER,
            examination=replace(
                EARLIER.examination, scores=replace(seen(1, 1, 1).scores, model=replace(MODEL, digest="1" * 64))
            ),
        ),
        replace(
            EARLIER,
            examination=replace(EARLIER.examination, scores=replace(EARLIER.examination.scores, worker="anna/desktop")),
        ),
        replace(EARLIER, labels=("green", "blue", "long ago")),
    ],
    ids=[
        "nothing recalled",
        "other views",
        "another scale",
        "another model",
        "another worker",
        "no other label that is wanted",
    ],
)
def test_nothing_else_is_added(recalled: Recollection | None) -> None:
    fresh = seen(0.7, 0.8)
    assert with_recalled_columns(fresh, ("green", "blue"), recalled, WANTED) == (fresh, ("green", "blue"))
