"""Draws the pictures that the demo model is trained and tested on: one coloured shape over a background, or none.

numpy only: Pillow belongs to :mod:`serve_app.media`.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serve_app.models.demo.backgrounds import BACKGROUNDS, PHOTO_LIKE, Image, any_colour, blend, noise
from serve_app.models.demo.shapes import SHAPES, Figure, distance_px, place

__all__ = ["COLOURS", "SHAPES", "DrawnPicture", "draw", "random_picture", "random_size_px", "sample_colour"]


@dataclass(frozen=True, slots=True)
class _ColourRange:
    """What a colour word covers: hue in degrees (may pass below 0), saturation and value in 0..1."""

    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]


# Neighbouring ranges leave a gap, so that no picture is drawn whose colour two people would name differently.
_COLOUR_RANGES: Final[Mapping[str, _ColourRange]] = {
    "red": _ColourRange((-10, 8), (0.75, 1), (0.62, 1)),
    "orange": _ColourRange((24, 38), (0.8, 1), (0.88, 1)),
    "yellow": _ColourRange((50, 62), (0.7, 1), (0.85, 1)),
    "green": _ColourRange((90, 150), (0.5, 1), (0.35, 0.95)),
    "blue": _ColourRange((205, 242), (0.6, 1), (0.5, 1)),
    "purple": _ColourRange((268, 292), (0.5, 1), (0.4, 0.9)),
    "pink": _ColourRange((320, 345), (0.25, 0.55), (0.92, 1)),
    "brown": _ColourRange((18, 32), (0.5, 0.85), (0.28, 0.5)),
    "black": _ColourRange((0, 360), (0, 0.3), (0, 0.1)),
    "grey": _ColourRange((0, 360), (0, 0.05), (0.38, 0.65)),
    "white": _ColourRange((0, 360), (0, 0.03), (0.94, 1)),
}
COLOURS: Final[tuple[str, ...]] = tuple(_COLOUR_RANGES)

SMALLEST_PX: Final = 64
LARGEST_PX: Final = 512
LONGEST_ASPECT: Final = 1.5
SIZES: Final = (0.2, 0.8)
"""A shape's shorter extent, smallest and largest, as a share of the picture's shorter side."""

_ATTEMPTS: Final = 6
_VISIBLE: Final = 0.25
"""How far two colours must lie apart (Euclid over RGB in 0..1) to be told apart."""


@dataclass(frozen=True, slots=True)
class DrawnPicture:
    """A drawn picture and what is true of it.

    ``pixels`` is uint8, ``(height, width, 3)``, RGB. ``colour`` and ``shape`` are those of its (larger) shape, both
    None when there is no shape. ``background`` is a key of ``BACKGROUNDS``, None for a photo-like picture.
    """

    pixels: NDArray[np.uint8]
    colour: str | None
    shape: str | None
    background: str | None


def sample_colour(rng: np.random.Generator, colour: str) -> NDArray[np.float32]:
    """One colour that the word ``colour`` covers, float32 ``(3,)``, RGB in 0..1; often the purest there is."""
    covered = _COLOUR_RANGES[colour]
    hue = rng.uniform(*covered.hue)
    saturation, value = rng.uniform(*covered.saturation), rng.uniform(*covered.value)
    if rng.random() < 0.25:  # what drawing programs give for the word: (255, 0, 0), (0, 0, 255), ...
        saturation = covered.saturation[0 if colour in ("black", "grey", "white") else 1]
        value = covered.value[0 if colour == "black" else 1]
    return np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value), np.float32)


def _surface(rng: np.random.Generator, colour: NDArray[np.float32], height_px: int, width_px: int) -> Image:
    """``colour`` over the whole picture, mostly flat, sometimes unevenly lit."""
    if rng.random() < 0.65:
        return np.broadcast_to(colour, (height_px, width_px, 3))
    light = 1 - np.float32(rng.uniform(0.05, 0.2)) * noise(rng, height_px, width_px, float(rng.uniform(1, 8)), 3)
    lit: Image = colour * light[..., None]
    return lit


def _stands_out(picture: Image, colour: NDArray[np.float32], figure: Figure) -> bool:
    """Whether hardly any background around the figure has its colour."""
    half = np.array(figure.extent_px) * 0.6
    top, left = np.maximum(np.array(figure.centre) - half, 0).astype(int)
    bottom, right = (np.array(figure.centre) + half).astype(int) + 1
    around = picture[top:bottom:2, left:right:2]
    return bool(np.mean(np.linalg.norm(around - colour, axis=-1) < _VISIBLE) < 0.15)


def _paint(rng: np.random.Generator, picture: Image, colour: NDArray[np.float32], figure: Figure) -> Image:
    height_px, width_px = picture.shape[:2]
    distance = distance_px(figure, height_px, width_px)
    softness_px = np.float32(0.01 if rng.random() < 0.25 else rng.uniform(1, 2))  # hard: drawn without antialiasing
    cover = np.clip(0.5 - distance / softness_px, 0, 1)
    surface = _surface(rng, colour, height_px, width_px)
    if rng.random() < 0.15:
        border_px = max(1.0, min(figure.extent_px) * rng.uniform(0.02, 0.07))
        inside = np.clip(0.5 - (distance + np.float32(border_px)) / softness_px, 0, 1)
        surface = blend(np.broadcast_to(any_colour(rng), picture.shape), surface, inside)
    return blend(picture, surface, cover)


def _finished(rng: np.random.Generator, picture: Image) -> NDArray[np.uint8]:
    """Uneven light and sensor noise over all of it, sometimes; then 8 bits."""
    height_px, width_px = picture.shape[:2]
    if rng.random() < 0.15:
        picture = picture * (1 - np.float32(0.2) * noise(rng, height_px, width_px, 1, 1)[..., None])
    if rng.random() < 0.4:
        grain = rng.standard_normal(picture.shape, np.float32)
        picture = picture + grain * np.float32(rng.uniform(0, 0.06))
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def draw(
    rng: np.random.Generator,
    colour: str,
    shape: str,
    *,
    background: str = "plain",
    height_px: int = 256,
    width_px: int = 256,
    size: float | None = None,
    with_smaller: bool = False,
) -> NDArray[np.uint8]:
    """One picture of a ``colour`` ``shape`` over a ``background``; uint8, ``(height, width, 3)``, RGB.

    Args:
        rng: what decides place, angle, shade and all else that is not given.
        colour: one of ``COLOURS``.
        shape: one of ``SHAPES``.
        background: a key of ``BACKGROUNDS``.
        height_px: height of the picture in pixels.
        width_px: width of the picture in pixels.
        size: the shape's shorter extent as a share of the picture's shorter side; random when None.
        with_smaller: put a second, clearly smaller shape of any kind beside it, if there is room.
    """
    shorter_px = min(height_px, width_px)
    figure = None
    while figure is None:  # ends: a long triangle that does not fit is followed by one that does
        figure = place(rng, shape, (size or rng.uniform(*SIZES)) * shorter_px, height_px, width_px)
    for _ in range(_ATTEMPTS):
        picture = BACKGROUNDS[background](rng, height_px, width_px)
        paint = sample_colour(rng, colour)
        if _stands_out(picture, paint, figure):
            break
    else:
        picture = np.full_like(picture, 0.0 if paint.mean() > 0.5 else 1.0)
    picture = _paint(rng, picture, paint, figure)
    if with_smaller:
        picture = _paint_smaller(rng, picture, figure)
    return _finished(rng, picture)


def _paint_smaller(rng: np.random.Generator, picture: Image, larger: Figure) -> Image:
    height_px, width_px = picture.shape[:2]
    for _ in range(_ATTEMPTS):
        size_px = max(min(larger.extent_px) * rng.uniform(0.3, 0.7), 0.12 * min(height_px, width_px))
        figure = place(rng, str(rng.choice(SHAPES)), size_px, height_px, width_px)
        if figure is None:
            continue
        apart_px = np.abs(np.array(figure.centre) - np.array(larger.centre))
        if (apart_px > (np.array(figure.extent_px) + np.array(larger.extent_px)) / 2).any():
            return _paint(rng, picture, sample_colour(rng, str(rng.choice(COLOURS))), figure)
    return picture


def random_size_px(rng: np.random.Generator, largest_px: int = LARGEST_PX) -> tuple[int, int]:
    """Height and width of a picture: 64..``largest_px``, small ones more often, no longer than 1.5 : 1."""
    aspect = np.exp(rng.uniform(0, np.log(LONGEST_ASPECT)))
    shorter_px = np.exp(rng.uniform(np.log(SMALLEST_PX), np.log(largest_px / aspect)))
    longer_px = min(int(shorter_px * aspect), largest_px)
    sides = (int(shorter_px), longer_px)
    return sides if rng.random() < 0.5 else sides[::-1]


def random_picture(rng: np.random.Generator, largest_px: int = LARGEST_PX) -> DrawnPicture:
    """A picture as the demo model meets it in training: every fourth without a shape, many red, many triangles."""
    height_px, width_px = random_size_px(rng, largest_px)
    if rng.random() < 0.28:
        painters = PHOTO_LIKE if rng.random() < 0.8 else tuple(BACKGROUNDS.values())
        picture = painters[int(rng.integers(len(painters)))](rng, height_px, width_px)
        return DrawnPicture(_finished(rng, picture), None, None, None)
    # The policy that ships asks for red triangles, so they and what shares half with them are drawn more often.
    colour = "red" if rng.random() < 0.45 else str(rng.choice(COLOURS))
    shape = "triangle" if rng.random() < 0.3 else str(rng.choice(SHAPES))
    background = str(rng.choice(tuple(BACKGROUNDS)))
    pixels = draw(
        rng,
        colour,
        shape,
        background=background,
        height_px=height_px,
        width_px=width_px,
        with_smaller=bool(rng.random() < 0.15),
    )
    return DrawnPicture(pixels, colour, shape, background)
