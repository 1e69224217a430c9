"""An opened picture to upright RGB frames: one for a still, a sample over the whole length for an animation.

Covers orientation (EXIF), palettes, CMYK, 16-bit and transparency. A picture with transparency gives each frame over
white *and* over black: on either alone, something drawn in that colour would be invisible to the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps

_BACKGROUNDS = ("white", "black")


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


def sample_frames(picture: Image.Image, max_frames: int) -> Iterator[Frame]:
    """The sampled frames, decoded one at a time so that only one is in memory.

    Raises:
        Exception: whatever the decoder raises; the caller stands in :func:`serve_app.media.decode.decoding`.
    """
    for index in sample_indices(frames_total(picture), max_frames):
        if index:
            picture.seek(index)
        picture.load()
        for flat in _flatten(_upright(picture)):
            yield Frame(index, flat)


def _upright(picture: Image.Image) -> Image.Image:
    turned = picture.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return ImageOps.exif_transpose(picture) if turned else picture


def _flatten(picture: Image.Image) -> Iterator[Image.Image]:
    """The picture as RGB, once if nothing of it is transparent, else once per background."""
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        if np.asarray(rgba.getchannel("A")).min() < 255:
            for background in _BACKGROUNDS:
                canvas = Image.new("RGBA", rgba.size, background)
                canvas.alpha_composite(rgba)
                yield canvas.convert("RGB")
            return
    yield _to_eight_bits(picture).convert("RGB")


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        # Pillow's own conversion clips 16-bit grey at 255, which would show the model a white picture.
        return Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return picture
