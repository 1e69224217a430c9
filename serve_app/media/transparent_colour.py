"""The one transparent colour of a PNG (its tRNS chunk), in the units of the pixels that it is compared with.

Otherwise nothing would match it: a browser would leave out what the model is shown, and show what it is not.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, PngImagePlugin

from serve_app.domain import UnsupportedError

# PNG stores grey of 2 and 4 bits; Pillow spreads the pixels over 0..255, and leaves the transparent grey as it was.
_GREY_STEPS = {"L;2": 85, "L;4": 17}

_HIGH_BYTES = "RGB;16B"
_LOW_BYTES = "RGB;16L"
"""Pillow's name of 16-bit colours in the other byte order: of a PNG, it takes the lower byte of each."""

_BAND_PX = 256


def settle_transparent_colour(picture: PngImagePlugin.PngImageFile, body: bytes) -> Image.Image:
    """``picture``, which was opened from ``body``, so that its transparent colour matches; nothing is decoded.

    A picture of 16-bit colours comes back decoded, in RGBA: Pillow keeps the upper 8 bits, in which colours that are
    transparent and opaque may look alike.

    Raises:
        UnsupportedError: an animation in 16-bit colours of which one is transparent.
        Exception: whatever the decoder raises.
    """
    if "transparency" not in picture.info or not picture.tile:
        return picture
    raw_mode = picture.tile[0].args
    if raw_mode in _GREY_STEPS:
        picture.info["transparency"] *= _GREY_STEPS[raw_mode]
    if raw_mode != _HIGH_BYTES:
        return picture
    if picture.is_animated:
        raise UnsupportedError("unsupported: an animated image/png with 16 bits and one transparent colour")
    return _with_alpha(picture, body)


def _with_alpha(upper: PngImagePlugin.PngImageFile, body: bytes) -> Image.Image:
    sought_high, sought_low = np.array([divmod(level, 256) for level in upper.info.pop("transparency")], np.uint8).T
    lower = PngImagePlugin.PngImageFile(io.BytesIO(body))
    lower.tile = [lower.tile[0]._replace(args=_LOW_BYTES)]
    alpha = Image.new("L", upper.size)
    for top in range(0, upper.height, _BAND_PX):
        band = (0, top, upper.width, min(top + _BAND_PX, upper.height))
        high, low = (np.asarray(half.crop(band)) for half in (upper, lower))
        is_opaque = ((high != sought_high) | (low != sought_low)).any(axis=2)
        alpha.paste(Image.fromarray(is_opaque.astype(np.uint8) * 255), (0, top))
    del lower
    rgba = upper.convert("RGBA")
    rgba.putalpha(alpha)
    rgba.format = upper.format
    return rgba
