"""PDQ: a perceptual hash of 256 bits, its quality, and the hashes of the seven turned and mirrored copies.

Source: Facebook 2019, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm", and its C++.

Luminance is blurred by two passes of a moving average in each direction (the "Jarosz filter"), decimated to 64x64 and
transformed by a DCT. Each bit says whether one of the 16x16 lowest frequencies, the mean aside, is above their median.
Everything before the median is linear and separable, so blur and decimation are one small matrix for each direction.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import DIHEDRAL_HASHES, PDQ_BYTES

_MIN_SIDE_PX = 5
_GRID = 64
_FREQUENCIES = 16
_BELOW_MEDIAN = _FREQUENCIES * _FREQUENCIES // 2 - 1
"""The reference takes the lower of the two middle values for the median."""

_QUALITY_DIVISOR = 90
MAX_QUALITY = 100

_DCT = (
    np.sqrt(2 / _GRID)
    * np.cos(np.pi / (2 * _GRID) * np.outer(np.arange(1, _FREQUENCIES + 1), 2 * np.arange(_GRID) + 1))
).astype(np.float32)

# A mirrored picture has the same frequencies, those of odd functions with the other sign: the first, the third, ...
_SIGN = np.where(np.arange(_FREQUENCIES) % 2, 1, -1).astype(np.float32)
_UNCHANGED = np.ones(_FREQUENCIES, np.float32)
_MIRRORED = np.stack([np.outer(down, across) for down in (_UNCHANGED, _SIGN) for across in (_UNCHANGED, _SIGN)])
# The reference's order: as it is, turned by 90, 180 and 270 degrees, mirrored in x, in y, and in both diagonals.
_ORDER = [0, 5, 3, 6, 2, 1, 4, 7]


def pdq(luminance: NDArray[np.float32], as_if_px: tuple[int, int] | None = None) -> tuple[int, bytes]:
    """PDQ's quality (0 to 100) and eight hashes, one after the other, as the reference computes them of these pixels.

    A picture with a side under 5 px has quality 0 and hashes of zeros.

    Args:
        luminance: of ``(height, width)``, each in 0..255.
        as_if_px: height and width; for a reduced picture, the size at which the reference would have hashed it. Its
            blur depends on the size, and of one that was enlarged again to this size it differs by few bits.
    """
    if min(luminance.shape) < _MIN_SIDE_PX:
        return 0, bytes(DIHEDRAL_HASHES * PDQ_BYTES)
    height_px, width_px = luminance.shape
    as_if_height_px, as_if_width_px = as_if_px or luminance.shape
    down, across = _blur_and_decimate(height_px, as_if_height_px), _blur_and_decimate(width_px, as_if_width_px)
    grid = down @ luminance @ across.T
    return _quality(grid), _hashes(_DCT @ grid @ _DCT.T)


@lru_cache(maxsize=128)
def _blur_and_decimate(side_px: int, as_if_px: int) -> NDArray[np.float32]:
    """``(64, side_px)``: what a side is multiplied by, enlarged to ``as_if_px`` before if that is more."""
    window = -(-as_if_px // (2 * _GRID))
    # A window of even length reaches one pixel further towards the end.
    before, after = (window - 1) // 2, window // 2
    distance = np.arange(as_if_px) - np.arange(as_if_px)[:, None]
    average = ((distance >= -before) & (distance <= after)).astype(np.float64)
    average /= average.sum(axis=1, keepdims=True)
    centres = ((np.arange(_GRID) + 0.5) * as_if_px / _GRID).astype(int)
    matrix: NDArray[np.float64] = average[centres] @ average
    if as_if_px != side_px:
        matrix = matrix @ _enlarged(side_px, as_if_px)
    return matrix.astype(np.float32)


def _enlarged(side_px: int, as_if_px: int) -> NDArray[np.float64]:
    """``(as_if_px, side_px)``: linear interpolation between the centres of pixels."""
    wanted = (np.arange(as_if_px) + 0.5) * side_px / as_if_px
    return np.stack([np.interp(wanted, np.arange(side_px) + 0.5, pixel) for pixel in np.eye(side_px)], axis=1)


def _quality(grid: NDArray[np.floating]) -> int:
    """How much goes on in the picture: the sum of its gradients, those of less than a hundredth aside."""
    gradients = [np.abs(np.trunc(np.diff(grid, axis=axis) * 100 / 255)).sum() for axis in (0, 1)]
    return min(MAX_QUALITY, int(sum(gradients)) // _QUALITY_DIVISOR)


def _hashes(frequencies: NDArray[np.floating]) -> bytes:
    """The hashes of a picture with these 16x16 frequencies, and of its seven copies, which have them rearranged."""
    mirrored = frequencies * _MIRRORED
    copies = np.concatenate([mirrored, mirrored.swapaxes(1, 2)])[_ORDER].reshape(DIHEDRAL_HASHES, -1)
    medians = np.partition(copies, _BELOW_MEDIAN, axis=1)[:, _BELOW_MEDIAN, None]
    # The last frequency is the first bit.
    return np.packbits((copies > medians)[:, ::-1], axis=1).tobytes()
