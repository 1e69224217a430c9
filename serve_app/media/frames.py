"""Which frames of an opened picture are looked at: the one of a still, a sample over the length of an animation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from serve_app.media.colour import as_rgb
from serve_app.media.decode import require_few_pixels
from serve_app.media.limits import MediaLimits


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
        for rgb in as_rgb(picture):
            yield Frame(index, rgb)
