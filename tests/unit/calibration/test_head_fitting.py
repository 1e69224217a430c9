"""A head from embeddings whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.calibration.head_fitting import LEAST_OF_A_KIND, FittedHead, InseparableError, fit_head

WIDTH = 32


def pictures(rng: np.random.Generator, count: int, shift: float, views: int = 1) -> list[NDArray[np.float32]]:
    """Embeddings around the middle of the sphere, shifted along the first axis."""
    features = rng.normal(size=(count, views, WIDTH))
    features[:, :, 0] += shift
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    return list(features.astype(np.float32))


def probabilities(head: FittedHead, some: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """As a policy sees a picture: by the highest of its views."""
    logits = np.array([(each @ head.direction).max() for each in some]) * head.scale + head.bias
    return 1 / (1 + np.exp(-logits))


def test_the_direction_is_found_and_the_errors_are_those_of_new_pictures() -> None:
    rng = np.random.default_rng(1)
    head = fit_head(pictures(rng, 300, 3.0), pictures(rng, 600, 0.0))
    assert head.direction.shape == (WIDTH,)
    assert np.linalg.norm(head.direction) == pytest.approx(1, abs=1e-5)
    assert head.direction[0] > 0.9
    missed = (probabilities(head, pictures(rng, 4000, 3.0)) <= 0.5).mean()
    mistaken = (probabilities(head, pictures(rng, 4000, 0.0)) > 0.5).mean()
    # What was left out of each fit tells of pictures that nobody has seen.
    assert head.missed.low <= missed <= head.missed.high
    assert head.mistaken.low <= mistaken <= head.mistaken.high
    assert (head.missed.pictures, head.mistaken.pictures) == (300, 600)
    assert head.auc > 0.95


def test_probabilities_are_calibrated_for_kinds_of_equal_frequency() -> None:
    rng = np.random.default_rng(2)
    head = fit_head(pictures(rng, 500, 1.5), pictures(rng, 1500, 0.0))
    shown, others = (probabilities(head, pictures(rng, 4000, shift)) for shift in (1.5, 0.0))
    for low in (0.2, 0.4, 0.6):
        near = [((low < each) & (each < low + 0.2)).sum() for each in (shown, others)]
        assert near[0] / sum(near) == pytest.approx(low + 0.1, abs=0.08)


def test_views_without_the_concept_teach_nothing_of_it_but_count_where_there_is_none() -> None:
    rng = np.random.default_rng(3)
    with_concept = [
        np.vstack([first, rest])
        for first, rest in zip(pictures(rng, 200, 3.0), pictures(rng, 200, 0.0, views=4), strict=True)
    ]
    without = pictures(rng, 200, 0.0, views=5)
    head = fit_head(with_concept, without)
    assert head.direction[0] > 0.85
    assert head.auc > 0.85


@pytest.mark.parametrize("seed", range(12))
def test_pictures_that_cannot_be_told_apart_are_told(seed: int) -> None:
    rng = np.random.default_rng(seed)
    with pytest.raises(InseparableError):
        fit_head(pictures(rng, 40, 0.0), pictures(rng, 60, 0.0))


def test_pictures_whose_first_view_shows_nothing_teach_by_another() -> None:
    rng = np.random.default_rng(6)
    titles, shown = pictures(rng, 100, 0.0), pictures(rng, 100, 3.0)
    behind_a_title = [np.vstack(views) for views in zip(titles, shown, strict=True)]
    head = fit_head([*pictures(rng, 100, 3.0), *behind_a_title], pictures(rng, 300, 0.0))
    assert head.direction[0] > 0.9
    assert (probabilities(head, titles) < 0.5).mean() > 0.8


def test_too_few_pictures_are_refused() -> None:
    some = pictures(np.random.default_rng(5), LEAST_OF_A_KIND, 1.0)
    with pytest.raises(ValueError, match="20 pictures of each kind"):
        fit_head(some[1:], some)
