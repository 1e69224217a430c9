"""Backgrounds for the drawn pictures of the demo model, and pictures that hold no shape at all; numpy only.

Half of what a moderation model has to learn is what ordinary pictures look like, so that it leaves them alone. No
photograph may be shipped or trained on here, so their statistics are drawn instead: noise at many scales in the
colours of sky, skin, leaves and rooms, objects without a clean outline, horizons, roofs and mountains.

Every picture here is an ``Image``: float32, ``(height, width, 3)``, RGB, about 0..1 (clipped only when it is finished).
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Mask = NDArray[np.float32]
"""How much of each pixel is covered: float32, ``(height, width)``, 0..1."""

Palette = tuple[tuple[int, int, int], ...]

_PALETTES: Final[tuple[Palette, ...]] = (
    ((70, 110, 170), (135, 180, 230), (235, 240, 245)),  # sky
    ((95, 55, 40), (205, 150, 120), (250, 220, 200)),  # skin
    ((20, 35, 15), (70, 105, 40), (170, 185, 110)),  # leaves
    ((110, 85, 55), (200, 170, 120), (240, 225, 190)),  # sand
    ((50, 40, 35), (150, 125, 100), (225, 215, 200)),  # a room
    ((5, 8, 18), (35, 45, 75), (180, 160, 110)),  # night
    ((60, 20, 40), (210, 80, 40), (255, 200, 120)),  # sunset
    ((70, 25, 20), (150, 60, 45), (200, 120, 95)),  # bricks
    ((90, 0, 10), (200, 20, 30), (250, 110, 110)),  # red petals and cloth
    ((25, 25, 28), (115, 115, 118), (235, 235, 232)),  # stone, or a black-and-white photograph
    ((10, 50, 70), (30, 120, 140), (170, 220, 215)),  # water
)


def any_colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """One colour of any kind, float32 ``(3,)``, 0..1: often vivid, often white, grey or black as screens are."""
    kind = rng.random()
    if kind < 0.3:
        return np.full(3, rng.choice([0.0, 1.0, rng.random()]), np.float32)
    saturation = rng.uniform(0.6, 1.0) if kind < 0.6 else rng.uniform(0.05, 0.6)
    # Red is drawn more often than other hues: a red background must not be taken for a red shape.
    hue = rng.uniform(-0.03, 0.03) if rng.random() < 0.2 else rng.random()
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, rng.uniform(0.15, 1.0)), np.float32)


def grid(height_px: int, width_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The rows ``(height, 1)`` and columns ``(1, width)`` of the pixel centres, float32, in pixels."""
    rows = np.arange(height_px, dtype=np.float32)[:, None] + np.float32(0.5)
    columns = np.arange(width_px, dtype=np.float32)[None, :] + np.float32(0.5)
    return rows, columns


def _upsampled(rng: np.random.Generator, knots: Mask, length_px: int, cells: float) -> Mask:
    """Each row of ``knots`` drawn out smoothly to ``length_px``, ``cells`` of its knots over the whole length.

    By lookup and not by a product of matrices: several processes that draw would fight over BLAS threads.
    """
    at = np.arange(length_px, dtype=np.float32) * np.float32(cells / length_px) + np.float32(rng.random())
    left = at.astype(np.intp)
    share = at - left
    share = share * share * (3 - 2 * share)
    upsampled: Mask = knots[:, left] * (1 - share) + knots[:, left + 1] * share
    return upsampled


def noise(rng: np.random.Generator, height_px: int, width_px: int, cells: float, octaves: int) -> Mask:
    """Fractal value noise, ``(height, width)``, stretched to 0..1: ``cells`` bumps across, then twice as many, ..."""
    field = np.zeros((height_px, width_px), np.float32)
    falloff = rng.uniform(0.35, 0.7)
    stretch = np.exp(rng.uniform(-0.7, 0.7))
    for octave in range(octaves):
        # Finer than two pixels a bump the knots alias.
        down = min(cells * stretch * 2**octave, height_px / 2)
        across = min(cells * 2**octave, width_px / 2)
        knots = rng.random((int(down) + 3, int(across) + 3), np.float32)
        stretched = _upsampled(rng, knots, width_px, across)
        field += np.float32(falloff**octave) * _upsampled(rng, stretched.T, height_px, down).T
    low, high = field.min(), field.max()
    levelled: Mask = (field - low) / np.maximum(high - low, np.float32(1e-6))
    return levelled


def _dyed(field: Mask, palette: Palette) -> Image:
    """The colours of ``palette`` along ``field`` (0..1)."""
    anchors = np.array(palette, np.float32) / 255
    levels = np.linspace(0, 1, 256)
    table = np.stack([np.interp(levels, np.linspace(0, 1, len(anchors)), anchors[:, c]) for c in range(3)], axis=1)
    dyed: Image = table.astype(np.float32)[(np.clip(field, 0, 1) * 255).astype(np.intp)]
    return dyed


def _palette(rng: np.random.Generator) -> Palette:
    return _PALETTES[int(rng.integers(len(_PALETTES)))]


def _ramp(rng: np.random.Generator, height_px: int, width_px: int) -> Mask:
    """0..1 along a random direction, or outwards from a random point."""
    rows, columns = grid(height_px, width_px)
    if rng.random() < 0.3:
        field = np.hypot(rows - rng.random() * height_px, columns - rng.random() * width_px)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        field = rows * np.float32(np.sin(angle)) + columns * np.float32(np.cos(angle))
    ramp: Mask = ((field - field.min()) / (np.ptp(field) + 1e-6)).astype(np.float32)
    return ramp


def blend(below: Image, above: Image, cover: Mask) -> Image:
    """``above`` (a picture, or one colour) painted over ``below`` where ``cover`` says."""
    blended: Image = below + (above - below) * cover[..., None]
    return blended


def plain(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """One colour."""
    return np.broadcast_to(any_colour(rng), (height_px, width_px, 3)).copy()


def gradient(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """One colour running into another."""
    return blend(plain(rng, height_px, width_px), any_colour(rng), _ramp(rng, height_px, width_px))


def _bands(rng: np.random.Generator, height_px: int, width_px: int, angle: float, period_px: float) -> Mask:
    rows, columns = grid(height_px, width_px)
    along = rows * np.float32(np.sin(angle)) + columns * np.float32(np.cos(angle)) + rng.random() * period_px
    bands: Mask = ((along / np.float32(period_px)) % 1 < rng.uniform(0.3, 0.7)).astype(np.float32)
    return bands


def striped(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """Stripes of two colours in any direction, from hairlines to the bands of a flag."""
    period_px = min(height_px, width_px) * np.exp(rng.uniform(np.log(0.05), np.log(0.8)))
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    bands = _bands(rng, height_px, width_px, float(angle), float(period_px))
    return blend(plain(rng, height_px, width_px), any_colour(rng), bands)


def checked(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """A chequerboard of two colours, straight or turned."""
    period_px = float(min(height_px, width_px) * np.exp(rng.uniform(np.log(0.08), np.log(0.6))))
    angle = float(rng.choice([0.0, rng.uniform(0, np.pi)]))
    one = _bands(rng, height_px, width_px, angle, period_px)
    other = _bands(rng, height_px, width_px, angle + np.pi / 2, period_px)
    return blend(plain(rng, height_px, width_px), any_colour(rng), np.abs(one - other))


def cloudy(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """Noise at many scales in the colours of a photograph."""
    cells = float(np.exp(rng.uniform(0, np.log(12))))
    return _dyed(noise(rng, height_px, width_px, cells, int(rng.integers(3, 7))), _palette(rng))


def blurred(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """Soft blobs of several colours, as behind a subject out of focus."""
    picture = cloudy(rng, height_px, width_px) if rng.random() < 0.5 else plain(rng, height_px, width_px)
    rows, columns = grid(height_px, width_px)
    for _ in range(int(rng.integers(2, 7))):
        radius_px = min(height_px, width_px) * rng.uniform(0.1, 0.5)
        apart = np.hypot(rows - rng.random() * height_px, columns - rng.random() * width_px) / np.float32(radius_px)
        cover: Mask = (np.exp(-(apart**2)) * rng.uniform(0.4, 1)).astype(np.float32)
        picture = blend(picture, any_colour(rng), cover)
    return picture


def cluttered(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """Straight edges, bars and half planes over each other, as walls, shelves and streets have them."""
    picture = cloudy(rng, height_px, width_px) if rng.random() < 0.6 else gradient(rng, height_px, width_px)
    rows, columns = grid(height_px, width_px)
    shorter_px = min(height_px, width_px)
    for _ in range(int(rng.integers(2, 9))):
        angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
        along = (rows - rng.random() * height_px) * np.sin(angle) + (columns - rng.random() * width_px) * np.cos(angle)
        edge_px = shorter_px * rng.choice([0.005, 0.01, 0.05])
        bar_px = shorter_px * rng.choice([0.01, 0.03, 0.15, 10.0])
        cover = np.clip(along / edge_px, 0, 1) * np.clip((bar_px - along) / edge_px, 0, 1) * rng.uniform(0.3, 1)
        colour = np.array(_palette(rng)[int(rng.integers(3))], np.float32) / np.float32(255)
        picture = blend(picture, colour, cover.astype(np.float32))
    return picture


def _skyline(rng: np.random.Generator, width_px: int) -> NDArray[np.float32]:
    """Heights ``(1, width)``, 0..1: peaks, roofs or hills."""
    at = np.linspace(0, 1, width_px, dtype=np.float32)
    knots = int(rng.integers(3, 10))
    places = np.sort(rng.random(knots)).astype(np.float32)
    heights = rng.random(knots).astype(np.float32)
    line = np.interp(at, places, heights)
    if rng.random() < 0.3:
        line = 1 - np.abs((at * knots / 2 + rng.random()) % 1 - 0.5) * 2
    rough = noise(rng, 1, width_px, 4, 5)[0] * rng.choice([0.0, 0.1, 0.4])
    skyline: Mask = (line + rough).astype(np.float32)[None, :]
    return skyline


def landscape(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """A sky, one to three silhouettes before it (mountains, roofs, hills), each lit and grained.

    A silhouette always reaches the picture's lower edge, often in red: what is cut off by the edge is no shape.
    """
    sky = _PALETTES[int(rng.choice([0, 5, 6, 9]))]
    rows, _ = grid(height_px, width_px)
    haze = rows / height_px + np.float32(0.3) * (noise(rng, height_px, width_px, 3, 4) - np.float32(0.5))
    picture = _dyed(haze.astype(np.float32), sky)
    top = rng.uniform(0.1, 0.6)
    for _ in range(int(rng.integers(1, 4))):
        line_px = height_px * (top + rng.uniform(0.05, 0.5) * (1 - _skyline(rng, width_px)))
        cover = np.clip((rows - line_px) / (height_px * rng.choice([0.004, 0.02])) + 0.5, 0, 1).astype(np.float32)
        picture = blend(picture, _grained(rng, height_px, width_px), cover)
        top += rng.uniform(0.1, 0.3)
    return picture


def _grained(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """One palette, light running over it, and grain: the surface of a thing."""
    field = noise(rng, height_px, width_px, float(rng.uniform(2, 10)), 5)
    light = _ramp(rng, height_px, width_px)
    share = rng.uniform(0.2, 0.9)
    return _dyed((share * field + (1 - share) * light).astype(np.float32), _palette(rng))


def _lump(rng: np.random.Generator, height_px: int, width_px: int) -> Mask:
    """An irregular closed outline, softly edged: a face, a fruit, a petal, an animal. Nothing that has a name here."""
    rows, columns = grid(height_px, width_px)
    shorter_px = min(height_px, width_px)
    down = (rows - rng.uniform(0, 1) * height_px) / np.float32(np.exp(rng.uniform(-0.5, 0.5)))
    across = columns - rng.uniform(0, 1) * width_px
    angle = np.arctan2(down, across)
    radius = np.ones_like(angle)
    for wave in range(2, 8):
        height = rng.uniform(0, 0.45) / wave**0.5
        radius += np.float32(height) * np.cos(wave * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    outline_px = radius * np.float32(shorter_px * rng.uniform(0.15, 0.6))
    softness_px = shorter_px * rng.choice([0.005, 0.02, 0.1])
    cover: Mask = np.clip((outline_px - np.hypot(down, across)) / softness_px, 0, 1).astype(np.float32)
    return cover


def still_life(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """Irregular lumps of any surface before a photo-like background."""
    picture = PHOTO_LIKE[int(rng.integers(4))](rng, height_px, width_px)
    for _ in range(int(rng.integers(1, 6))):
        surface = _grained(rng, height_px, width_px)
        if rng.random() < 0.25:
            surface = blend(surface, any_colour(rng), np.full((height_px, width_px), 0.7, np.float32))
        picture = blend(picture, surface, _lump(rng, height_px, width_px))
    return picture


Painter = Callable[[np.random.Generator, int, int], Image]
"""Paints ``(height, width)`` pixels."""

PHOTO_LIKE: Final[tuple[Painter, ...]] = (cloudy, blurred, cluttered, landscape, still_life)

BACKGROUNDS: Final[Mapping[str, Painter]] = {
    "plain": plain,
    "gradient": gradient,
    "striped": striped,
    "checked": checked,
    "cloudy": cloudy,
    "blurred": blurred,
    "cluttered": cluttered,
}
"""What a shape may stand on, by the word that captions use."""
