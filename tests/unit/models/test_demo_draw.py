"""The drawn pictures of the demo model: what they promise to the training and to the tests that use them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from serve_app.models.demo import DEMO_NOTICE
from serve_app.models.demo.backgrounds import BACKGROUNDS, PHOTO_LIKE
from serve_app.models.demo.draw import (
    COLOURS,
    LARGEST_PX,
    LONGEST_ASPECT,
    SHAPES,
    SMALLEST_PX,
    draw,
    random_picture,
    sample_colour,
)


@pytest.mark.parametrize(("colour", "shape"), list(itertools.product(COLOURS, SHAPES)))
def test_every_colour_and_shape_draws(colour: str, shape: str) -> None:
    pixels = draw(np.random.default_rng(1), colour, shape, height_px=64, width_px=80)
    assert pixels.shape == (64, 80, 3)
    assert pixels.dtype == np.uint8
    assert np.ptp(pixels.astype(int), axis=(0, 1)).max() > 40, "the shape cannot be told from the background"


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_background_draws(background: str) -> None:
    pixels = draw(np.random.default_rng(2), "red", "star", background=background, height_px=70, width_px=64)
    assert pixels.shape == (70, 64, 3)


@pytest.mark.parametrize("painter", PHOTO_LIKE)
def test_photo_like_pictures_are_finite(painter: object) -> None:
    assert callable(painter)
    picture = painter(np.random.default_rng(3), 64, 90)
    assert picture.shape == (64, 90, 3)
    assert picture.dtype == np.float32
    assert np.isfinite(picture).all()


def test_the_same_seed_draws_the_same_pictures() -> None:
    one, other = (random_picture(np.random.default_rng(7)) for _ in range(2))
    assert (one.colour, one.shape, one.background) == (other.colour, other.shape, other.background)
    np.testing.assert_array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("seed", range(12))
def test_a_red_triangle_is_red_where_it_is(seed: int) -> None:
    pixels = draw(np.random.default_rng(seed), "red", "triangle", height_px=120, width_px=100, size=0.6).astype(int)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    is_red = (red > 110) & (red > 2 * green) & (red > 2 * blue)
    rows, columns = np.nonzero(is_red if not is_red[[0, 0, -1, -1], [0, -1, 0, -1]].all() else ~is_red)
    assert is_red[int(rows.mean()), int(columns.mean())]
    box = np.ptp(rows) * np.ptp(columns)
    assert 0.3 < len(rows) / box < 0.6, "a triangle fills about half of the box around it"


def test_the_shape_has_the_size_asked_for() -> None:
    pixels = draw(np.random.default_rng(4), "black", "circle", height_px=128, width_px=192, size=0.5).astype(int)
    rows, columns = np.nonzero(np.abs(pixels - pixels[0, 0]).sum(axis=-1) > 40)
    assert min(np.ptp(rows), np.ptp(columns)) == pytest.approx(64, abs=4)


def test_red_is_red_and_orange_is_not() -> None:
    rng = np.random.default_rng(5)
    reds = np.array([sample_colour(rng, "red") for _ in range(200)])
    oranges = np.array([sample_colour(rng, "orange") for _ in range(200)])
    assert (reds[:, 1] / reds[:, 0]).max() < (oranges[:, 1] / oranges[:, 0]).min()


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="octopus"):
        draw(np.random.default_rng(0), "red", "octopus")


def test_random_pictures_keep_their_limits() -> None:
    rng = np.random.default_rng(6)
    pictures = [random_picture(rng) for _ in range(40)]
    for picture in pictures:
        height_px, width_px, channels = picture.pixels.shape
        assert channels == 3
        assert min(height_px, width_px) >= SMALLEST_PX
        assert max(height_px, width_px) <= LARGEST_PX
        assert max(height_px, width_px) / min(height_px, width_px) <= LONGEST_ASPECT + 0.02
        assert (picture.colour is None) == (picture.shape is None)
    assert any(picture.shape is None for picture in pictures)
    assert any(picture.shape is not None for picture in pictures)


def test_the_notice_says_that_it_protects_nobody() -> None:
    assert "protects nobody" in DEMO_NOTICE
