"""HDR and wide gamut to sRGB, as Chromium shows them on a screen without HDR.

The numbers of a picture are coded by a transfer function and by primaries (ITU-T H.273, "CICP"). Here the transfer
function is undone, light that is brighter than white is mapped into what a screen shows, the primaries are converted,
and the curve of sRGB is applied.

Sources: PQ and HLG with its system gamma of 1.2 are in ITU-R BT.2100-2, tables 4 and 5; diffuse white is 203 cd/m2
(ITU-R BT.2408-7, 2.1). The tone curve is the *reference white tone mapping operator* of SMPTE ST 2094-50, as Skia has
it (``src/codec/SkHdrAgtm.cpp``): light up to diffuse white is scaled by one factor, brighter light follows a parabola
to the peak, and the largest component of a pixel, in the primaries of BT.2020, decides its gain, so that hues stay.
Chromium 156 was within one grey level of this for PQ, HLG and each of the primaries.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serve_app.media.parsers.cicp import HLG, PQ, Cicp

_Light = NDArray[np.float32]
_Matrix = NDArray[np.float64]

CICP_INFO = "cicp"
"""Under which key of its ``info`` a picture carries its :class:`Cicp`."""

_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
"""Transfer functions that are one power. Browsers show those of cameras (BT.709 and its kin) as sRGB's own."""

_DIFFUSE_WHITE_NITS = 203.0
_USUAL_PEAK_NITS = 1000.0
"""Of HLG by its standard, and of PQ where the file does not say."""
_HIGHEST_PEAK_NITS = 10_000.0

BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
"""x and y of the red, green and blue of sRGB."""
_BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_WIDE_PRIMARIES = {9: _BT2020, 11: _P3, 12: _P3}
"""x and y of red, green and blue. The other code points are BT.709, or too near to it for a model to see."""
D65 = (0.3127, 0.3290)
"""x and y of its white."""


def is_srgb(cicp: Cicp) -> bool:
    """Whether the numbers can be taken for sRGB."""
    return not cicp.is_hdr and cicp.transfer not in _GAMMAS and cicp.primaries not in _WIDE_PRIMARIES


def as_srgb(picture: Image.Image, cicp: Cicp) -> Image.Image:
    """An RGB or RGBA picture of the colours that ``cicp`` names, in sRGB. Its transparency stays as it is."""
    primaries = _WIDE_PRIMARIES.get(cicp.primaries, BT709)
    light = _to_light(cicp.transfer)[np.asarray(picture.convert("RGB"))]
    if cicp.is_hdr:
        if cicp.transfer == HLG:
            light = _with_system_gamma(light, primaries)
        light = _tone_mapped(light @ _conversion(primaries, _BT2020), cicp.peak_nits or _USUAL_PEAK_NITS)
        primaries = _BT2020
    shown = Image.fromarray(encoded(light @ _conversion(primaries, BT709)))
    if picture.mode == "RGBA":
        shown.putalpha(picture.getchannel("A"))
    return shown


@functools.cache
def _to_light(transfer: int) -> _Light:
    """The light of each of 256 levels: 1 is diffuse white; of HLG it is the scene's, whose peak is 1."""
    level = np.arange(256) / 255
    if transfer == PQ:
        root = level ** (1 / (2523 / 32))
        part = (root - 3424 / 4096).clip(min=0) / (2413 / 128 - 2392 / 128 * root)
        light = part ** (1 / (2610 / 16384)) * (10_000 / _DIFFUSE_WHITE_NITS)
    elif transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(level <= 0.5, level**2 / 3, (np.exp((level - c) / a) + b) / 12)
    elif transfer in _GAMMAS:
        light = level ** _GAMMAS[transfer]
    else:
        light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


def _with_system_gamma(light: _Light, primaries: tuple[tuple[float, float], ...]) -> _Light:
    """The scene's light to the screen's: HLG's OOTF."""
    luminance = light @ to_xyz(primaries)[1].astype(np.float32)
    shown: _Light = light * (luminance**0.2 * (_USUAL_PEAK_NITS / _DIFFUSE_WHITE_NITS))[..., None]
    return shown


def _tone_mapped(light: _Light, peak_nits: float) -> _Light:
    """Light of up to ``peak_nits``, relative to diffuse white, into 0..1."""
    peak = min(max(peak_nits, _DIFFUSE_WHITE_NITS + 1), _HIGHEST_PEAK_NITS) / _DIFFUSE_WHITE_NITS
    white = 1 - 0.5 * min(1.0, math.log(peak) / math.log(_USUAL_PEAK_NITS / _DIFFUSE_WHITE_NITS))
    # A quadratic Bézier curve from (1, white) to (peak, 1); its middle point lies where the standard's kappa puts it.
    kappa = 0.65
    middle_x, middle_y = (1 - kappa) + kappa / white, (1 - kappa) * white + kappa
    bend_x, slope_x = 1 - 2 * middle_x + peak, 2 * middle_x - 2
    bend_y, slope_y = white - 2 * middle_y + 1, 2 * middle_y - 2 * white
    largest = light.max(axis=-1, keepdims=True)
    over = largest.clip(1, peak) - 1
    # The root of bend_x * t^2 + slope_x * t = over, in the form that holds for a bend of zero too.
    share = 2 * over / (slope_x + np.sqrt((slope_x**2 + 4 * bend_x * over).clip(min=0)))
    curve = np.where(largest <= 1, largest * white, white + share * (slope_y + share * bend_y))
    mapped: _Light = light * (curve / largest.clip(min=1e-6)).astype(np.float32)
    return mapped


def encoded(light: _Light) -> NDArray[np.uint8]:
    """Light of 0..1 in sRGB's levels, by a table: a power for each number would cost more than all else here."""
    levels: NDArray[np.uint8] = _levels()[(light * (_STEPS - 1) + 0.5).clip(0, _STEPS - 1).astype(np.uint16)]
    return levels


_STEPS = 1 << 14


@functools.cache
def _levels() -> NDArray[np.uint8]:
    light = np.arange(_STEPS) / (_STEPS - 1)
    levels = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    rounded: NDArray[np.uint8] = np.rint(levels * 255).astype(np.uint8)
    return rounded


@functools.cache
def _conversion(source: tuple[tuple[float, float], ...], target: tuple[tuple[float, float], ...]) -> _Light:
    """What rows of RGB are multiplied with."""
    return np.linalg.solve(to_xyz(target), to_xyz(source)).T.astype(np.float32)


@functools.lru_cache(maxsize=32)
def to_xyz(primaries: tuple[tuple[float, float], ...], white: tuple[float, float] = D65) -> _Matrix:
    """RGB to CIE XYZ, white being of luminance 1.

    Raises:
        ValueError, ZeroDivisionError: no such colours can be.
    """
    columns = np.array([_xyz(*point) for point in primaries]).T
    scaled: _Matrix = columns * np.linalg.solve(columns, np.array(_xyz(*white)))
    return scaled


def _xyz(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y
