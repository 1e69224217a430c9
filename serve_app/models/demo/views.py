"""Views drawn at a model's own size: for calibration and for comparisons, nobody's pictures, and no network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serve_app.models.demo.backgrounds import BACKGROUNDS, PHOTO_LIKE
from serve_app.models.demo.draw import COLOURS, SHAPES, draw

DRAWN_LABELS: Final = tuple(f"a picture of a {colour} {shape}" for colour in COLOURS for shape in SHAPES)
"""What a model of any policy, or of none, can be asked of such views."""


def drawn_views(seed: int, count: int, size_px: int) -> Iterator[NDArray[np.uint8]]:
    """``count`` views, each uint8, ``(size_px, size_px, 3)``, RGB, and always the same ones for a seed.

    Every other one has a shape with hard edges in it, the others are soft as photographs are.
    """
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield _soft(rng, size_px) if number % 2 else _hard(rng, size_px)


def _soft(rng: np.random.Generator, size_px: int) -> NDArray[np.uint8]:
    painter = PHOTO_LIKE[int(rng.integers(len(PHOTO_LIKE)))]
    return (np.clip(painter(rng, size_px, size_px), 0, 1) * 255 + 0.5).astype(np.uint8)


def _hard(rng: np.random.Generator, size_px: int) -> NDArray[np.uint8]:
    colour, shape, background = (str(rng.choice(of)) for of in (COLOURS, SHAPES, tuple(BACKGROUNDS)))
    return draw(rng, colour, shape, background=background, height_px=size_px, width_px=size_px)
