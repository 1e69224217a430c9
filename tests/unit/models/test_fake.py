"""The engine without weights: what it says can be foretold, so that everything around it can be tested."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.models.engine import MAX_BUCKETS, buckets
from serve_app.models.factory import open_engine
from serve_app.models.fake import FakeEngine

LABELS = ("a red view", "a green view", "a blue view", "a photograph")
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def views(*colours: tuple[int, int, int], size_px: int = 8) -> NDArray[np.uint8]:
    return np.stack([np.full((size_px, size_px, 3), colour, np.uint8) for colour in colours])


def test_a_view_scores_by_the_excess_of_a_colour() -> None:
    cosines = FakeEngine(LABELS).encode(views(RED, GREEN, BLUE, WHITE, BLACK))
    assert cosines.dtype == np.float32
    np.testing.assert_allclose(
        cosines,
        [[1.0, -0.5, -0.5, 0.0], [-0.5, 1.0, -0.5, 0.0], [-0.5, -0.5, 1.0, 0.0], [0.0] * 4, [0.0] * 4],
        atol=1e-6,
    )


def test_half_a_view_of_red_scores_half() -> None:
    half = views(WHITE)
    half[:, :4] = RED
    assert FakeEngine(LABELS).encode(half)[0, 0] == pytest.approx(0.5)


def test_a_view_scores_the_same_alone_and_in_a_batch() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    engine = FakeEngine(LABELS)
    alone = np.concatenate([engine.encode(pixels[[place]]) for place in range(5)])
    np.testing.assert_array_equal(engine.encode(pixels), alone)


def test_its_identity_says_that_it_protects_nobody() -> None:
    identity = FakeEngine(LABELS, image_size_px=16).identity
    assert (identity.name, identity.image_size_px, len(identity.digest)) == ("fake", 16, 64)
    assert identity.notice is not None
    assert "protects nobody" in identity.notice


@pytest.mark.parametrize(
    ("max_batch_views", "sizes"), [(1, [1]), (2, [1, 2]), (12, [1, 2, 4, 8]), (16, [1, 2, 4, 8, 16])]
)
def test_its_warm_up_knows_powers_of_two(max_batch_views: int, sizes: list[int]) -> None:
    seconds = FakeEngine(LABELS).warm_up(max_batch_views, max_pass_s=1.0)
    assert list(seconds) == sizes == buckets(max_batch_views)
    assert all(0 < each <= 1.0 for each in seconds.values())


@pytest.mark.parametrize(("max_batch_views", "largest"), [(0, 1), (-3, 1), (10**9, 2 ** (MAX_BUCKETS - 1))])
def test_there_is_always_one_size_and_never_too_many(max_batch_views: int, largest: int) -> None:
    assert max(buckets(max_batch_views)) == largest


@pytest.mark.parametrize(("max_pass_s", "sizes"), [(0.5, [1, 2, 4]), (0.1, [1])])
def test_a_pass_that_takes_a_time_takes_it_for_every_size(max_pass_s: float, sizes: list[int]) -> None:
    assert FakeEngine(LABELS, pass_s=0.2).warm_up(4, max_pass_s) == dict.fromkeys(sizes, 0.2)


def test_a_pass_that_takes_a_time_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    slept_s: list[float] = []
    monkeypatch.setattr("time.sleep", slept_s.append)
    slow = open_engine("fake:200ms", LABELS)
    np.testing.assert_array_equal(slow.encode(views(RED, BLUE)), FakeEngine(LABELS).encode(views(RED, BLUE)))
    assert slept_s == [0.2, 0.0]


def test_it_is_opened_by_its_name() -> None:
    assert open_engine("fake", LABELS).encode(views(RED)).shape == (1, len(LABELS))
