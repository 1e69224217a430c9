"""A frame to views: square cuts at the model's size that together show the whole frame.

CLIP's own preprocessing crops the centre and shows the model nothing else. Here the first view is the whole frame,
squeezed, and a long shape adds overlapping tiles, in which nothing is squeezed to less than a strip.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONG_SHAPE_RATIO = 1.5
"""Beyond this ratio of the sides, squeezing distorts so much that tiles are added."""

TILE_OVERLAP = 0.25
"""Share of a tile's length that the next one shows again, so that what lies on a seam is whole in one of them."""

# Pillow first averages whole blocks down to this multiple of the target, then resamples. 2 costs little and keeps
# the result within a grey level of full resampling for this use (Pillow's own documentation calls 2.0 "very close").
_REDUCING_GAP = 2.0

# Decoding may shrink to this multiple of the view's size before views are cut: below it, resampling would blur.
DECODE_OVERSAMPLING = 2


@dataclass(frozen=True, slots=True)
class View:
    """``pixels`` is uint8 ``(size_px, size_px, 3)``; ``box`` is left, top, right, bottom as shares of the frame."""

    pixels: NDArray[np.uint8]
    box: tuple[float, float, float, float]


def cut_views(frame: Image.Image, size_px: int, max_views: int) -> list[View]:
    """One global view of an RGB ``frame``, then tiles along its longer side if it is a long shape."""
    boxes = [(0.0, 0.0, 1.0, 1.0), *_tiles(frame.width, frame.height, max_views - 1)]
    return [View(_cut(frame, box, size_px), box) for box in boxes]


def _tiles(width_px: int, height_px: int, max_tiles: int) -> list[tuple[float, float, float, float]]:
    shorter_px, longer_px = sorted((width_px, height_px))
    ratio = longer_px / shorter_px
    if ratio <= LONG_SHAPE_RATIO or max_tiles < 1:
        return []
    # n tiles of length t, each overlapping the next by a share v of t, span t * (n - (n - 1) * v).
    wanted = ceil((ratio - TILE_OVERLAP) / (1 - TILE_OVERLAP))
    tiles = min(wanted, max_tiles)
    # With enough tiles they are square; where max_views stops that, they become longer and still cover everything.
    length = 1 / ratio if tiles == wanted else 1 / (tiles - (tiles - 1) * TILE_OVERLAP)
    step = (1 - length) / (tiles - 1) if tiles > 1 else 0.0
    spans = [(tile * step, min(1.0, tile * step + length)) for tile in range(tiles)]
    if width_px > height_px:
        return [(start, 0.0, end, 1.0) for start, end in spans]
    return [(0.0, start, 1.0, end) for start, end in spans]


def _cut(frame: Image.Image, box: tuple[float, float, float, float], size_px: int) -> NDArray[np.uint8]:
    left, top, right, bottom = box
    area = (left * frame.width, top * frame.height, right * frame.width, bottom * frame.height)
    small = frame.resize((size_px, size_px), Image.Resampling.BICUBIC, box=area, reducing_gap=_REDUCING_GAP)
    return np.asarray(small)
