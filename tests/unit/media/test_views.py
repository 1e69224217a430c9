"""The views of a frame show all of it, whatever its shape."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from serve_app.media.views import (
    DECODE_OVERSAMPLING,
    LONG_SHAPE_RATIO,
    TILE_OVERLAP,
    VERY_LARGE,
    View,
    cut_views,
    reduced,
    tile_rows,
    views_per_frame,
)

SIZE_PX = 8
quick = settings(max_examples=100, deadline=None, derandomize=True)
SHORT_SIDES = st.integers(1, 10)
LONG_SIDES = st.integers(1, 4000)
SHAPES = st.tuples(SHORT_SIDES, LONG_SIDES) | st.tuples(LONG_SIDES, SHORT_SIDES)
MAX_VIEWS = st.integers(1, 16)


def cut(width_px: int, height_px: int, max_views: int = 12, size_px: int = SIZE_PX) -> list[View]:
    return cut_views(Image.new("RGB", (width_px, height_px), "teal"), size_px, max_views)


def spans(tiles: list[View], lying: bool) -> list[tuple[float, float]]:
    """Where each tile begins and ends along the longer side."""
    return [(tile.box[0], tile.box[2]) if lying else (tile.box[1], tile.box[3]) for tile in tiles]


@quick
@given(SHAPES, MAX_VIEWS)
def test_the_first_view_is_the_whole_frame_and_the_tiles_cover_it_once_more(
    shape: tuple[int, int], max_views: int
) -> None:
    width_px, height_px = shape
    whole, *tiles = cut(width_px, height_px, max_views)
    assert whole.box == (0.0, 0.0, 1.0, 1.0)
    assert len(tiles) < max_views
    if not tiles:
        return
    lying = width_px > height_px
    along = spans(tiles, lying)
    across = spans(tiles, not lying)
    assert set(across) == {(0.0, 1.0)}
    assert along[0][0] == 0.0
    assert along[-1][1] == pytest.approx(1.0, abs=1e-9)
    assert all(0.0 <= start < end <= 1.0 for start, end in along)
    assert all(start < following <= end for (start, end), (following, _) in pairwise(along))


@quick
@given(SHAPES, MAX_VIEWS)
def test_every_view_is_square_rgb_of_the_models_size(shape: tuple[int, int], max_views: int) -> None:
    for view in cut(*shape, max_views):
        assert (view.pixels.shape, view.pixels.dtype) == ((SIZE_PX, SIZE_PX, 3), np.dtype(np.uint8))
        # A frame of one colour has views of that colour: resampling at the edges reads nothing from outside.
        assert (view.pixels == (0, 128, 128)).all()


@quick
@given(SHAPES)
def test_tiles_are_cut_beyond_the_ratio_and_only_there(shape: tuple[int, int]) -> None:
    ratio = max(shape) / min(shape)
    assert (len(cut(*shape)) > 1) == (ratio > LONG_SHAPE_RATIO)


@quick
@given(st.integers(1, 400), st.integers(1, 400), MAX_VIEWS)
def test_a_frame_on_its_side_is_cut_the_same_way(width_px: int, height_px: int, max_views: int) -> None:
    lying = [view.box for view in cut(width_px, height_px, max_views)]
    standing = [view.box for view in cut(height_px, width_px, max_views)]
    assert standing == [(top, left, bottom, right) for left, top, right, bottom in lying]


@pytest.mark.parametrize(("width_px", "height_px"), [(160, 100), (100, 200), (1000, 100), (64, 500)])
def test_while_there_are_enough_tiles_they_are_square_and_overlap(width_px: int, height_px: int) -> None:
    _, *tiles = cut(width_px, height_px, max_views=16)
    lying = width_px > height_px
    longer_px, shorter_px = max(width_px, height_px), min(width_px, height_px)
    along = spans(tiles, lying)
    lengths_px = [(end - start) * longer_px for start, end in along]
    overlaps_px = [(end - following) * longer_px for (_, end), (following, _) in pairwise(along)]
    np.testing.assert_allclose(lengths_px, shorter_px)
    assert min(overlaps_px) >= TILE_OVERLAP * shorter_px - 1e-6


def test_where_the_views_run_out_the_tiles_grow_longer() -> None:
    _, *tiles = cut(4000, 10, max_views=12)
    lengths = [end - start for start, end in spans(tiles, lying=True)]
    assert len(tiles) == 11
    assert min(lengths) > 10 / 4000
    np.testing.assert_allclose(lengths, lengths[0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (4000, 1), (1, 4000), (16_000, 2)])
def test_the_thinnest_frames_are_cut(shape: tuple[int, int]) -> None:
    assert 1 <= len(cut(*shape)) <= 12


@pytest.mark.parametrize("max_views", [1, 2, 3])
def test_few_views_still_show_everything(max_views: int) -> None:
    views = cut(1000, 100, max_views)
    # One tile would be the global view once more.
    assert len(views) == {1: 1, 2: 1, 3: 3}[max_views]
    assert all(end - start > 1 / 3 for start, end in spans(views, lying=True))


@quick
@given(st.floats(0.0, 1.0), st.booleans())
def test_a_disc_anywhere_in_a_long_picture_shows_in_a_tile(where: float, lying: bool) -> None:
    radius_px, longer_px, shorter_px = 12, 1200, 120
    picture = Image.new("RGB", (longer_px, shorter_px), "white")
    centre_px = radius_px + where * (longer_px - 2 * radius_px)
    ImageDraw.Draw(picture).circle((centre_px, shorter_px / 2), radius_px, "red")
    if not lying:
        picture = picture.transpose(Image.Transpose.ROTATE_90)

    _, *tiles = cut_views(picture, 32, 16)

    # In a tile the disc is as large as it is drawn: a fifth of the shorter side, and so some 32 of 1024 pixels.
    reds = [np.count_nonzero((tile.pixels[..., 0] > 200) & (tile.pixels[..., 1] < 100)) for tile in tiles]
    assert max(reds) >= 20


MODEL_PX = 224
SEEN_PX = 24


def extent_px(view: View) -> int:
    """How long the red in a view is, in its longer direction."""
    red = (view.pixels[..., 0].astype(int) - view.pixels[..., 1]) > 90
    return max(int(np.ptp(where)) + 1 for where in np.nonzero(red)) if red.any() else 0


@settings(quick, max_examples=60)
@given(
    st.integers(48, 300),
    st.floats(1.0, 40.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.booleans(),
    st.integers(1, 12),
    st.sampled_from([1, 2]),
)
def test_a_disc_of_an_eighth_of_the_shorter_side_is_seen_anywhere_in_any_shape(
    shorter_px: int, ratio: float, along: float, across: float, lying: bool, max_views: int, rows: int
) -> None:
    # Fewer views than the shape asks for squeeze the disc to a strip; its larger extent stays.
    longer_px, radius_px = int(shorter_px * ratio), shorter_px / 16
    picture = Image.new("RGB", (longer_px, shorter_px), "white")
    centre_px = [
        radius_px + share * (side - 1 - 2 * radius_px) for share, side in ((along, longer_px), (across, shorter_px))
    ]
    ImageDraw.Draw(picture).circle((centre_px[0], centre_px[1]), radius_px, "red")
    if not lying:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    views = cut_views(picture, MODEL_PX, max_views, rows)
    assert len(views) <= max_views
    assert max(map(extent_px, views)) >= SEEN_PX


@quick
@given(SHAPES, MAX_VIEWS)
def test_two_rows_of_tiles_cover_the_frame(shape: tuple[int, int], max_views: int) -> None:
    frame = Image.new("RGB", shape, "teal")
    whole, *tiles = cut_views(frame, SIZE_PX, max_views, rows=2)
    assert whole.box == (0.0, 0.0, 1.0, 1.0)
    assert len(tiles) < max_views
    if not tiles:
        return
    covered = np.zeros((60, 60), bool)
    for left, top, right, bottom in (tile.box for tile in tiles):
        covered[int(top * 60) : ceil(bottom * 60 - 1e-6), int(left * 60) : ceil(right * 60 - 1e-6)] = True
    assert covered.all()


@pytest.mark.parametrize(("shape", "views"), [((100, 100), 5), ((150, 100), 9), ((178, 100), 9), ((100, 300), 11)])
def test_a_very_large_picture_has_tiles_in_two_rows(shape: tuple[int, int], views: int) -> None:
    frame = Image.new("RGB", shape, "teal")
    cut_frame = cut_views(frame, SIZE_PX, 12, rows=2)
    assert len(cut_frame) == views
    for left, top, right, bottom in (view.box for view in cut_frame[1:]):
        assert (right - left) * shape[0] == pytest.approx((bottom - top) * shape[1], rel=0.35)


def test_only_more_than_an_ordinary_photo_is_very_large() -> None:
    assert tile_rows(4000, 3000, MODEL_PX) == 1
    assert tile_rows(20_000, VERY_LARGE * MODEL_PX, MODEL_PX) == 1
    assert tile_rows(6000, 4000, MODEL_PX) == 2


@quick
@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 16))
def test_the_views_of_an_animation_are_bounded(frames: int, max_frames: int, max_views: int) -> None:
    share = views_per_frame(frames, max_frames, max_views)
    assert 1 <= share <= max_views
    assert frames > max_frames or share * frames <= 3 * max_frames + max_views


def test_a_still_may_have_all_views_and_each_of_sixteen_frames_three() -> None:
    assert (views_per_frame(1, 16, 12), views_per_frame(16, 16, 12)) == (12, 3)


@quick
@given(SHAPES | st.tuples(st.integers(1, 900), st.integers(1, 900)), st.integers(1, 12), st.sampled_from([1, 2]))
def test_a_picture_is_reduced_only_as_far_as_no_tile_blurs(shape: tuple[int, int], max_views: int, rows: int) -> None:
    small = reduced(Image.new("RGB", shape, "teal"), SIZE_PX, max_views, rows)
    assert small.width * small.height <= (2 * DECODE_OVERSAMPLING * SIZE_PX * max(max_views, 2)) ** 2 * 4
    for view in cut_views(Image.new("RGB", shape), SIZE_PX, max_views, rows):
        left, top, right, bottom = view.box
        for share, kept_px, full_px in (
            (right - left, small.width, shape[0]),
            (bottom - top, small.height, shape[1]),
        ):
            assert kept_px == full_px or share * kept_px >= DECODE_OVERSAMPLING * SIZE_PX * 0.9


def test_left_stays_left_and_top_stays_top() -> None:
    picture = Image.new("RGB", (300, 100), "white")
    picture.paste("red", (0, 0, 100, 50))
    views = cut_views(picture, SIZE_PX, 12)
    red = [(view.pixels[..., 1] < 100) for view in views]
    assert red[0][0, 0]
    assert not red[0][0, -1]
    assert red[1][0].all()
    assert not red[1][-1].any()
    assert not red[-1].any()
