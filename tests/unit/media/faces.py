"""Figures that a detector of faces takes for faces: ellipses and lines, and nobody's picture."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFilter

_SKIN, _DARK, _MOUTH, _WHITE = (225, 180, 150), (60, 40, 30), (160, 70, 70), (250, 250, 250)


def drawn(width_px: int, height_px: int, centres: Sequence[tuple[int, int]], radius_px: int) -> Image.Image:
    """A grey picture with a figure at each centre."""
    picture = Image.new("RGB", (width_px, height_px), (120, 140, 160))
    for centre in centres:
        _draw(ImageDraw.Draw(picture), *centre, radius_px)
    return picture.filter(ImageFilter.GaussianBlur(radius_px * 0.03))


def _draw(draw: ImageDraw.ImageDraw, x_px: int, y_px: int, radius_px: int) -> None:
    def ellipse(x: float, y: float, across: float, down: float, colour: tuple[int, int, int]) -> None:
        left, top = x_px + (x - across) * radius_px, y_px + (y - down) * radius_px
        draw.ellipse((left, top, left + 2 * across * radius_px, top + 2 * down * radius_px), fill=colour)

    def line(left: float, right: float, y: float, colour: tuple[int, int, int]) -> None:
        height_px = y_px + y * radius_px
        ends = (x_px + left * radius_px, height_px, x_px + right * radius_px, height_px)
        draw.line(ends, fill=colour, width=max(2, round(radius_px * 0.06)))

    ellipse(0, -0.25, 0.95, 1.2, _DARK)  # hair
    ellipse(0, 0, 0.8, 1.05, _SKIN)
    for side in (-0.35, 0.35):
        ellipse(side, -0.15, 0.2, 0.1, (150, 110, 90))
        ellipse(side, -0.15, 0.15, 0.06, _WHITE)
        ellipse(side, -0.15, 0.07, 0.07, _DARK)
        line(side - 0.2, side + 0.2, -0.33, _DARK)
    ellipse(0, 0.22, 0.14, 0.1, (190, 140, 115))
    for side in (-0.08, 0.08):
        ellipse(side, 0.27, 0.04, 0.03, (110, 70, 60))
    ellipse(0, 0.55, 0.3, 0.1, _MOUTH)
    line(-0.3, 0.3, 0.55, (90, 30, 30))
