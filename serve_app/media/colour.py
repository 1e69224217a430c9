"""A decoded picture of any mode to what a person would see of it: upright, RGB, 8 bits, nothing transparent.

Covers orientation (EXIF), palettes, CMYK, 16-bit and transparency. A picture with transparency is given over white and
over black: on either alone, something drawn in that colour would be invisible to the model.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from serve_app.media.decode import DECODER_ERRORS

_BACKGROUNDS = ("white", "black")

# What undoes each EXIF orientation. ImageOps.exif_transpose also writes the metadata anew, and fails where it is odd.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def as_rgb(picture: Image.Image) -> Iterator[Image.Image]:
    """The picture upright in RGB: once if nothing of it is transparent, else once per background."""
    return _flatten(_upright(picture))


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODER_ERRORS:
        return picture  # shown as it stands by browsers too: odd metadata does not make a picture unreadable
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _flatten(picture: Image.Image) -> Iterator[Image.Image]:
    if picture.has_transparency_data:
        rgba = _with_alpha(picture)
        if np.asarray(rgba.getchannel("A")).min() < 255:
            for background in _BACKGROUNDS:
                canvas = Image.new("RGBA", rgba.size, background)
                canvas.alpha_composite(rgba)
                yield canvas.convert("RGB")
            return
    yield _to_eight_bits(picture).convert("RGB")


def _with_alpha(picture: Image.Image) -> Image.Image:
    if picture.mode != "I;16":
        return picture.convert("RGBA")
    # PNG's one transparent grey, which Pillow's own conversion of 16 bits forgets.
    opaque = np.asarray(picture) != picture.info["transparency"]
    rgba = _to_eight_bits(picture).convert("RGBA")
    rgba.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return rgba


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        # Pillow's own conversion clips 16-bit grey at 255, which would show the model a white picture.
        return Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return picture
