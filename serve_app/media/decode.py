"""Bytes to an opened picture, under limits. Pixels are allocated only after the header has been believed."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator

from PIL import Image

from serve_app.domain import TooLargeError, UndecodableError
from serve_app.media.limits import MediaLimits

_PILLOW_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
}

# What Pillow's plugins raise on bytes that are not what their header says. SyntaxError is its own word for "not this
# format"; the others come out of parsers that trusted a length. A MemoryError is theirs too: the pixels are bounded
# before they are allocated, so it is a lying header and not our need.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    ZeroDivisionError,
)


@contextlib.contextmanager
def decoding(media_type: str) -> Iterator[None]:
    """Turns what a decoder raises on bad bytes into :class:`~serve_app.domain.UndecodableError`."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata that we do not read; a picture is not undecodable for it.
            warnings.simplefilter("ignore")
            yield
    except _DECODER_ERRORS as error:
        raise UndecodableError(f"not a readable {media_type}: {type(error).__name__}") from error


def open_picture(body: bytes, media_type: str, limits: MediaLimits) -> Image.Image:
    """The picture with its header read and no pixel decoded.

    Raises:
        UndecodableError: the header cannot be read.
        TooLargeError: the header promises more pixels or frames than ``limits`` allow.
    """
    with decoding(media_type):
        try:
            # Only the sniffed format's plugin may look: otherwise bytes of one type could be read as another.
            picture = Image.open(io.BytesIO(body), formats=[_PILLOW_FORMATS[media_type]])
        except Image.DecompressionBombError as error:
            raise TooLargeError("more pixels than any limit allows") from error
        frames_total = int(getattr(picture, "n_frames", 1))
    width_px, height_px = picture.size
    if width_px * height_px > limits.max_pixels:
        raise TooLargeError(f"{width_px}x{height_px} pixels are more than {limits.max_pixels}")
    if frames_total > limits.max_frames_total:
        raise TooLargeError(f"{frames_total} frames are more than {limits.max_frames_total}")
    return picture


def shrink_on_load(picture: Image.Image, shorter_side_px: int) -> None:
    """Let a JPEG decode at 1/2, 1/4 or 1/8 scale, where its shorter side stays at least ``shorter_side_px``.

    A JPEG's blocks can be decoded at reduced size directly (the inverse DCT of fewer coefficients), which is exact
    down-sampling for a fraction of the cost. Other formats cannot, and stay as they are.
    """
    picture.draft(None, (shorter_side_px, shorter_side_px))
