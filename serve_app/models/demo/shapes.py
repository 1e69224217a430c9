"""The shapes that the demo model knows: their outlines, their place in a picture, the distance of a pixel to them.

Shapes are filled by signed distance (after Inigo Quilez, https://iquilezles.org/articles/distfunctions2d), which gives
clean edges at any size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serve_app.models.demo.backgrounds import Mask, grid

Points = NDArray[np.float32]
"""Corners of a polygon, float32, ``(corners, 2)``, each (down, across)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A shape with its place: corners in pixels, or for a circle and a ring the ellipse that bounds it.

    ``hole`` is the inner radius of a ring as a share of the outer, 0 for all else.
    """

    shape: str
    centre: tuple[float, float]
    angle_rad: float
    radii: tuple[float, float]
    corners: Points | None
    hole: float
    extent_px: tuple[float, float]


def _turning(count: int, radius: float = 1.0, offset: float = 0.0) -> Points:
    """``count`` corners evenly on a circle."""
    angles = 2 * np.pi * (np.arange(count) + offset) / count
    return (radius * np.stack([-np.cos(angles), np.sin(angles)], axis=1)).astype(np.float32)


def _triangle(rng: np.random.Generator) -> Points:
    """Half of them equilateral, half of any kind without a corner so sharp that a small view loses it."""
    if rng.random() < 0.5:
        return _turning(3)
    first = rng.uniform(32, 100)
    second = rng.uniform(32, min(100.0, 148 - first))
    # Corners on a circle at twice the angle opposite to them (the inscribed angle theorem).
    angles = np.deg2rad([0, 2 * first, 2 * (first + second)])
    return np.stack([-np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def _star(rng: np.random.Generator) -> Points:
    points = int(rng.choice([5, 5, 5, 6]))
    corners = np.empty((2 * points, 2), np.float32)
    corners[0::2] = _turning(points)
    corners[1::2] = _turning(points, rng.uniform(0.36, 0.5), 0.5)
    return corners


def _cross(rng: np.random.Generator) -> Points:
    arm = rng.uniform(0.26, 0.4)
    quarter = np.array([[-1, -arm], [-1, arm], [-arm, arm]])
    quarter_turn = np.array([[0, -1], [1, 0]])
    return np.concatenate([quarter @ np.linalg.matrix_power(quarter_turn, times) for times in range(4)]).astype(
        np.float32
    )


def _heart() -> Points:
    at = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    across = 16 * np.sin(at) ** 3
    up = 13 * np.cos(at) - 5 * np.cos(2 * at) - 2 * np.cos(3 * at) - np.cos(4 * at)
    return (np.stack([-up, across], axis=1) / 16).astype(np.float32)


_POLYGONS: Final[Mapping[str, Callable[[np.random.Generator], Points]]] = {
    "triangle": _triangle,
    "square": lambda _: _turning(4, offset=0.5),
    "pentagon": lambda _: _turning(5),
    "star": _star,
    "cross": _cross,
    "heart": lambda _: _heart(),
}
_ROUND: Final = ("circle", "ring")
SHAPES: Final[tuple[str, ...]] = (*_POLYGONS, *_ROUND)


def place(rng: np.random.Generator, shape: str, size_px: float, height_px: int, width_px: int) -> Figure | None:
    """A ``shape`` whose shorter extent is ``size_px``, at a random place and angle; None when it does not fit."""
    if shape not in SHAPES:
        raise ValueError(f"no such shape: {shape!r}; there are {', '.join(SHAPES)}")
    angle_rad = rng.uniform(0, 2 * np.pi) if rng.random() < 0.6 else rng.normal(0, 0.08)
    corners = None if shape in _ROUND else _POLYGONS[shape](rng)
    stretch = np.float32(np.exp(rng.uniform(-0.15, 0.15)))
    radii = np.array([stretch, 1 / stretch], np.float32)
    rotation = np.array([[np.cos(angle_rad), np.sin(angle_rad)], [-np.sin(angle_rad), np.cos(angle_rad)]], np.float32)
    if corners is None:
        extent = 2 * np.sqrt(((rotation.T * radii) ** 2).sum(axis=1))
    else:
        corners = (corners * radii @ rotation).astype(np.float32)
        corners -= (corners.max(axis=0) + corners.min(axis=0)) / 2
        extent = np.ptp(corners, axis=0)
    scale = size_px / float(extent.min())
    extent_px = extent * scale
    room_px = np.array([height_px, width_px]) * 0.97 - extent_px
    if (room_px < 0).any():
        return None
    margin_px = np.array([height_px, width_px]) * 0.015 + extent_px / 2
    centre = margin_px + rng.random(2) * room_px
    return Figure(
        shape=shape,
        centre=(float(centre[0]), float(centre[1])),
        angle_rad=angle_rad,
        radii=(float(radii[0] * scale), float(radii[1] * scale)),
        corners=None if corners is None else (corners * scale + centre).astype(np.float32),
        hole=rng.uniform(0.45, 0.72) if shape == "ring" else 0.0,
        extent_px=(float(extent_px[0]), float(extent_px[1])),
    )


def _polygon_distance_px(corners: Points, rows: Mask, columns: Mask) -> Mask:
    """Signed distance to the polygon, negative inside."""
    nearest = np.full(np.broadcast_shapes(rows.shape, columns.shape), np.inf, np.float32)
    sign = np.ones_like(nearest)
    for (down, across), (next_down, next_across) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge_down, edge_across = next_down - down, next_across - across
        to_rows, to_columns = rows - down, columns - across
        share = (to_rows * edge_down + to_columns * edge_across) / (edge_down**2 + edge_across**2)
        share = np.clip(share, 0, 1)
        nearest = np.minimum(nearest, (to_rows - edge_down * share) ** 2 + (to_columns - edge_across * share) ** 2)
        crosses = (rows >= down) != (rows >= next_down)
        right_of_edge = (to_rows * edge_across > to_columns * edge_down) == (edge_down > 0)
        sign = np.where(crosses & right_of_edge, -sign, sign)
    distance: Mask = sign * np.sqrt(nearest)
    return distance


def _ellipse_distance_px(figure: Figure, rows: Mask, columns: Mask) -> Mask:
    """Signed distance to the figure's ellipse (to first order, exact for a circle), less a ring's hole."""
    cos, sin = np.float32(np.cos(figure.angle_rad)), np.float32(np.sin(figure.angle_rad))
    down, across = rows - np.float32(figure.centre[0]), columns - np.float32(figure.centre[1])
    one = (down * cos + across * sin) / np.float32(figure.radii[0])
    other = (across * cos - down * sin) / np.float32(figure.radii[1])
    radial = np.hypot(one, other)
    steepness = np.hypot(one / np.float32(figure.radii[0]), other / np.float32(figure.radii[1])) + np.float32(1e-6)
    distance: Mask = radial * (radial - 1) / steepness
    if figure.hole:
        distance = np.maximum(distance, radial * (np.float32(figure.hole) - radial) / steepness)
    return distance


def distance_px(figure: Figure, height_px: int, width_px: int) -> Mask:
    """Signed distance of each pixel to the figure's edge in pixels, ``(height, width)``, negative inside."""
    rows, columns = grid(height_px, width_px)
    if figure.corners is None:
        return _ellipse_distance_px(figure, rows, columns)
    return _polygon_distance_px(figure.corners, rows, columns)
