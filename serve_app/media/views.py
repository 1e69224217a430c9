"""A frame to views: square cuts at the model's size that together show the whole frame.

CLIP's own preprocessing crops the centre and shows the model nothing else. Here the first view is the whole frame,
squeezed, and a long shape adds overlapping tiles, in which nothing is squeezed to less than a strip. Squeezing keeps
each direction's share of its side: what is an eighth of the shorter side is an eighth of the view in one direction at
least, 28 px of a 224 px model. Very large pictures add a grid of overlapping tiles in two rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serve_app.media.resampling import Kernel, resampled

LONG_SHAPE_RATIO = 1.5
"""Beyond this ratio of the sides, squeezing distorts so much that tiles are added."""

VERY_LARGE = 16
"""A picture whose shorter side is more than so many times the view's (3584 px at 224 px) gets tiles in two rows.

Above the 12 megapixels of an ordinary photo, which stays at one view.
"""

MAX_ROWS = 2
"""Rows of tiles that a picture is cut into at most."""

TILE_OVERLAP = 0.25
"""Share of a tile's length that the next one shows again, so that what lies on a seam is whole in one of them."""

DECODE_OVERSAMPLING = 1.5
"""Decoding may shrink to this multiple of the view's size before views are cut. Chosen by measuring (ADR 12).

A tile of the two rows of a very large picture is four sevenths of the shorter side. At 1/8, the smallest scale of a
JPEG, that is still more than a view's size. Other types keep this multiple of each tile.
"""

Box = tuple[float, float, float, float]

_BAND_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class View:
    """``pixels`` is uint8 ``(size_px, size_px, 3)``; ``box`` is left, top, right, bottom as shares of the frame."""

    pixels: NDArray[np.uint8]
    box: Box


def cut_views(frame: Image.Image, size_px: int, max_views: int, rows: int = 1) -> list[View]:
    """One global view of an RGB ``frame``, then tiles in ``rows`` along its longer side, as :func:`tile_rows` says."""
    boxes = [(0.0, 0.0, 1.0, 1.0), *_tiles(frame.width, frame.height, max_views - 1, rows)]
    return [View(_cut(frame, box, size_px), box) for box in boxes]


def tile_rows(width_px: int, height_px: int, size_px: int) -> int:
    """In how many rows a picture of this full size is tiled: 2 if it is very large, else 1.

    Asked for the size in the file, since a large JPEG is shrunk already when it is decoded.
    """
    return MAX_ROWS if min(width_px, height_px) > VERY_LARGE * size_px else 1


def views_per_frame(frames: int, max_frames: int, max_views: int) -> int:
    """How many views may be cut from each of ``frames``: never more than 3 * ``max_frames`` + ``max_views`` in all.

    That is 60 with the default limits. A still may have all of ``max_views``; sixteen frames three each, the whole and
    two tiles, which are squares for a video of 16:9. A frame of more readings than that has one view of each.
    """
    return max(1, min(max_views, (3 * max_frames + max_views) // frames))


def reduced(picture: Image.Image, size_px: int, max_views: int, rows: int = MAX_ROWS) -> Image.Image:
    """The picture with no more pixels than views of it can show, so that several may be kept while they are cut.

    Whole blocks are averaged. Every tile, in as many ``rows``, keeps at least ``DECODE_OVERSAMPLING`` times its view's
    pixels.
    """
    across, down = _blocks(picture, size_px, max_views, rows)
    return picture if (across, down) == (1, 1) else picture.reduce((across, down))


def reduced_before_colours(picture: Image.Image, size_px: int, max_views: int, rows: int) -> Image.Image:
    """As :func:`reduced`, for a picture of any mode as it was decoded: its colours then cost a fraction of the work.

    Left as they are: modes whose numbers cannot be averaged, and pictures in which one colour means transparent.
    """
    if "transparency" in picture.info or picture.mode not in ("RGB", "L", "CMYK", "RGBA"):
        return picture
    if picture.mode in ("RGB", "L"):
        rows = MAX_ROWS  # their colours cost little, and blocks that do not divide a side stretch it by a part of one
    if picture.mode == "RGBA":
        small = _reduced_by_alpha(picture, *_blocks(picture, size_px, max_views, rows))
    else:
        small = reduced(picture, size_px, max_views, rows)
    small.format = picture.format
    return small


def _blocks(picture: Image.Image, size_px: int, max_views: int, rows: int) -> tuple[int, int]:
    """Width and height of the blocks of which views need only the average."""
    tile_px = DECODE_OVERSAMPLING * size_px
    evenly = int(min(picture.size) / (rows * tile_px))
    across, down = (max(1, evenly, int(side_px / (max_views * tile_px))) for side_px in picture.size)
    return across, down


def _reduced_by_alpha(picture: Image.Image, across: int, down: int) -> Image.Image:
    """An RGBA picture's blocks averaged by alpha: else what is transparent would bleed into what is seen.

    Band by band, so that a large picture is not held a second time.
    """
    if (across, down) == (1, 1):
        return picture
    width_px, height_px = picture.size
    small = Image.new("RGBA", (ceil(width_px / across), ceil(height_px / down)))
    small.info = dict(picture.info)
    for top in range(0, height_px, band_px := _BAND_BLOCKS * down):
        band = picture.crop((0, top, width_px, min(top + band_px, height_px)))
        small.paste(band.convert("RGBa").reduce((across, down)).convert("RGBA"), (0, top // down))
    return small


def _tiles(width_px: int, height_px: int, max_tiles: int, rows: int) -> list[Box]:
    shorter_px, longer_px = sorted((width_px, height_px))
    ratio = longer_px / shorter_px
    if max_tiles < rows * rows:
        rows = 1
    if max_tiles < 2 or (rows == 1 and ratio <= LONG_SHAPE_RATIO):
        return []
    # n tiles of length t, each overlapping the next by a share v of t, span t * (n - (n - 1) * v).
    side = 1 / (rows - (rows - 1) * TILE_OVERLAP)
    wanted = ceil((ratio / side - TILE_OVERLAP) / (1 - TILE_OVERLAP))
    columns = min(wanted, max_tiles // rows)
    # With enough tiles they are square; where max_views stops that, they become longer and still cover everything.
    length = side / ratio if columns == wanted else 1 / (columns - (columns - 1) * TILE_OVERLAP)
    along, across = _spans(columns, length), _spans(rows, side)
    if width_px >= height_px:
        return [(left, top, right, bottom) for top, bottom in across for left, right in along]
    return [(left, top, right, bottom) for left, right in across for top, bottom in along]


def _spans(parts: int, length: float) -> list[tuple[float, float]]:
    """``parts`` spans of ``length``, evenly over 0..1."""
    step = (1 - length) / (parts - 1) if parts > 1 else 0.0
    return [(part * step, min(1.0, part * step + length)) for part in range(parts)]


def _cut(frame: Image.Image, box: Box, size_px: int) -> NDArray[np.uint8]:
    left, top, right, bottom = box
    # Outwards to whole pixels, of which a view has at most two thirds of one: what lies on an edge is in both tiles.
    area = (
        floor(left * frame.width),
        floor(top * frame.height),
        ceil(right * frame.width),
        ceil(bottom * frame.height),
    )
    shown = frame if area == (0, 0, *frame.size) else frame.crop(area)
    return np.asarray(resampled(shown, size_px, size_px, Kernel.BICUBIC))
