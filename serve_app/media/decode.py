"""Bytes to an opened picture, under limits. Pixels are allocated only after the header has been believed."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator

from PIL import Image, ImageFile

from serve_app.domain import TooLargeError, UndecodableError, UnsupportedError
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
DECODER_ERRORS = (
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
    AssertionError,
    struct.error,
    ZeroDivisionError,
)


# PNG stores grey of 2 and 4 bits; Pillow spreads the pixels over 0..255, and leaves the transparent grey as it was.
_GREY_STEPS = {"L;2": 85, "L;4": 17}


@contextlib.contextmanager
def decoding(media_type: str) -> Iterator[None]:
    """Turns what a decoder raises on bad bytes into the two words that we have for it.

    Raises:
        UndecodableError: the bytes are not what they say.
        TooLargeError: Pillow's own last line against a picture that is small only in its header.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata that we do not read; a picture is not undecodable for it.
            warnings.simplefilter("ignore")
            yield
    except Image.DecompressionBombError as error:
        raise TooLargeError("more pixels than any limit allows") from error
    except DECODER_ERRORS as error:
        raise UndecodableError(f"not a readable {media_type}: {type(error).__name__}") from error


def open_picture(body: bytes, media_type: str, limits: MediaLimits) -> Image.Image:
    """The picture with its header read and no pixel decoded.

    Raises:
        UndecodableError: the header cannot be read.
        UnsupportedError: its transparency is of a kind that Pillow cannot read.
        TooLargeError: the header promises more pixels or frames than ``limits`` allow.
    """
    with decoding(media_type):
        # Only the sniffed format's plugin may look: otherwise bytes of one type could be read as another.
        picture = Image.open(io.BytesIO(body), formats=[_PILLOW_FORMATS[media_type]])
        frames_total = int(getattr(picture, "n_frames", 1))
    require_few_pixels(picture, limits)
    _settle_transparent_colour(picture)
    if frames_total > limits.max_frames_total:
        raise TooLargeError(f"{frames_total} frames are more than {limits.max_frames_total}")
    return picture


def open_shrunk(body: bytes, media_type: str, limits: MediaLimits, shorter_side_px: int) -> Image.Image:
    """As :func:`open_picture`, decoded at a reduced scale already where the format can."""
    picture = open_picture(body, media_type, limits)
    if not shrink_on_load(picture, shorter_side_px):
        return picture
    try:
        with decoding(media_type):
            picture.load()
    except UndecodableError:
        # Some whole JPEGs decode at full size only. Whether this is one, or is broken, the full decode will tell.
        return open_picture(body, media_type, limits)
    return picture


def require_few_pixels(picture: Image.Image, limits: MediaLimits) -> None:
    """Asked of every frame before its pixels are allocated: a later frame may be larger than the first.

    Raises:
        TooLargeError: the frame that ``picture`` stands at has more pixels than ``limits`` allow.
    """
    width_px, height_px = picture.size
    if width_px * height_px > limits.max_pixels:
        raise TooLargeError(f"{width_px}x{height_px} pixels are more than {limits.max_pixels}")


def _settle_transparent_colour(picture: Image.Image) -> None:
    """Put the one transparent colour of a PNG (its tRNS chunk) into the units of the pixels, before they are decoded.

    Otherwise nothing would match it: a browser would leave out what the model is shown, and show what it is not.
    """
    if picture.format != "PNG" or "transparency" not in picture.info:
        return
    if not isinstance(picture, ImageFile.ImageFile) or not picture.tile:
        return
    raw_mode = picture.tile[0].args
    if raw_mode == "RGB;16B":
        # Pillow drops the lower byte, after which colours that are transparent and opaque look alike.
        raise UnsupportedError("found image/png with 16 bits and one transparent colour, which is not read")
    if raw_mode in _GREY_STEPS:
        picture.info["transparency"] *= _GREY_STEPS[raw_mode]


def shrink_on_load(picture: Image.Image, shorter_side_px: int) -> bool:
    """Let a JPEG decode at 1/2, 1/4 or 1/8 scale, where its shorter side stays at least ``shorter_side_px``.

    A JPEG's blocks can be decoded at reduced size directly (the inverse DCT of fewer coefficients), which is exact
    down-sampling for a fraction of the cost. Other formats cannot, and stay as they are.

    Returns:
        Whether it will decode at a reduced scale.
    """
    full_size = picture.size
    picture.draft(None, (shorter_side_px, shorter_side_px))
    return picture.size != full_size
