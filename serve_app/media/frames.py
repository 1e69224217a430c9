"""An opened picture to upright RGB frames: one for a still, a sample over the whole length for an animation.

Covers orientation (EXIF), palettes, CMYK, 16-bit and transparency. A picture with transparency gives each frame over
white *and* over black: on either alone, something drawn in that colour would be invisible to the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

from serve_app.media.decode import DECODER_ERRORS, require_few_pixels
from serve_app.media.limits import MediaLimits

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


@dataclass(frozen=True, slots=True)
class Frame:
    """An upright RGB picture, and the index of the frame it was in its media."""

    index: int
    picture: Image.Image


def frames_total(picture: Image.Image) -> int:
    """How many frames the picture has; 1 for a still."""
    return int(getattr(picture, "n_frames", 1))


def sample_indices(total: int, max_frames: int) -> list[int]:
    """At most ``max_frames`` frame indices in ``0..total - 1``, evenly spread, the first and the last included."""
    if total <= max_frames:
        return list(range(total))
    return [round(step * (total - 1) / (max_frames - 1)) for step in range(max_frames)] if max_frames > 1 else [0]


def sample_frames(picture: Image.Image, limits: MediaLimits) -> Iterator[Frame]:
    """The sampled frames, decoded one at a time so that only one is in memory.

    Raises:
        TooLargeError: a frame is larger than the header said.
        Exception: whatever the decoder raises; the caller stands in :func:`serve_app.media.decode.decoding`.
    """
    at = 0
    for index in sample_indices(frames_total(picture), limits.max_frames):
        while at < index:
            # One by one: on its way to a frame Pillow decodes those before it, and each may enlarge the picture.
            at += 1
            picture.seek(at)
            require_few_pixels(picture, limits)
        picture.load()
        for flat in _flatten(_upright(picture)):
            yield Frame(index, flat)


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODER_ERRORS:
        return picture  # shown as it stands by browsers too: odd metadata does not make a picture unreadable
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _flatten(picture: Image.Image) -> Iterator[Image.Image]:
    """The picture as RGB, once if nothing of it is transparent, else once per background."""
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
