"""The primaries that a PNG states (its cHRM chunk), where they make another picture of its numbers.

Chromium honours them beside a gamma; other programs leave them out.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serve_app.media.tone_mapping import BT709, D65, encoded, to_xyz

_OTHER_PICTURE_LEVELS = 16
"""From this mean change of a coarse palette on, in grey levels, the primaries make another picture."""

_USUAL_GAMMA = 1 / 2.2
_LARGEST = 1e4
"""Of a number by which light is multiplied; those of real primaries are below ten."""

# Bradford's matrix, by which ICC.1:2022 (annex E) adapts one white to another.
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

_Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Chromaticities:
    """x and y of white and of red, green and blue (CIE 1931), and the exponent by which light was coded."""

    white: _Point
    primaries: tuple[_Point, ...]
    gamma: float

    def as_srgb(self, picture: Image.Image) -> Image.Image:
        """An RGB or RGBA picture of these colours in sRGB. Its transparency stays as it is."""
        shown = Image.fromarray(_converted(np.asarray(picture.convert("RGB")), self))
        if picture.mode == "RGBA":
            shown.putalpha(picture.getchannel("A"))
        return shown


def other_chromaticities(picture: Image.Image) -> Chromaticities | None:
    """What an opened picture states; ``None`` where it is no PNG, states nothing, or means nearly the same as sRGB."""
    numbers, gamma = picture.info.get("chromaticity"), picture.info.get("gamma")
    if picture.format != "PNG" or not isinstance(numbers, tuple) or len(numbers) != 8 or "srgb" in picture.info:
        return None
    white, *primaries = zip(numbers[::2], numbers[1::2], strict=True)
    exponent = gamma if isinstance(gamma, float) and gamma > 0 else _USUAL_GAMMA
    stated = Chromaticities(white, tuple(primaries), exponent)
    return stated if _makes_another_picture(stated) else None


@functools.lru_cache(maxsize=32)
def _makes_another_picture(stated: Chromaticities) -> bool:
    levels = np.linspace(0, 255, 5).astype(np.uint8)
    palette = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    # The usual gamma, since beside an odd one a coarse palette has hardly any colours.
    primaries, usual = replace(stated, gamma=_USUAL_GAMMA), Chromaticities(D65, BT709, _USUAL_GAMMA)
    try:
        change = np.abs(_converted(palette, primaries).astype(int) - _converted(palette, usual))
    except (ValueError, ZeroDivisionError):
        return False  # no colours: programs ignore it
    return bool(change.mean() > _OTHER_PICTURE_LEVELS)


def _converted(levels: NDArray[np.uint8], stated: Chromaticities) -> NDArray[np.uint8]:
    """Raises ValueError or ZeroDivisionError where the numbers describe no colours."""
    to_light = ((np.arange(256) / 255) ** (1 / stated.gamma)).astype(np.float32)
    return encoded(to_light[levels] @ _conversion(stated))


@functools.lru_cache(maxsize=32)
def _conversion(stated: Chromaticities) -> NDArray[np.float32]:
    """What rows of RGB are multiplied with."""
    with np.errstate(all="ignore"):
        source, target = to_xyz(stated.primaries, stated.white), to_xyz(BT709, D65)
        from_cone, to_cone = (_BRADFORD @ each.sum(axis=1) for each in (source, target))
        adapted = np.linalg.solve(_BRADFORD, (to_cone / from_cone)[:, None] * (_BRADFORD @ source))
        conversion = np.linalg.solve(target, adapted).T
    if not (np.abs(conversion) < _LARGEST).all():
        raise ValueError("primaries of no real colours")
    return np.asarray(conversion, np.float32)
