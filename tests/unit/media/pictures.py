"""Pictures that the tests of this folder draw and encode, and the frames that are sampled of them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from serve_app.domain import Deadline
from serve_app.domain.limits import MediaLimits
from serve_app.media.decoder_errors import decoding
from serve_app.media.decoder_plugins import register_decoders
from serve_app.media.frames import Frame, sample_frames
from serve_app.media.pictures import open_picture

NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
PILLOW_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/heic": "HEIF",
    "image/jxl": "JXL",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
}
register_decoders()
GREY, TRUECOLOUR, GREY_ALPHA, TRUECOLOUR_ALPHA = 0, 2, 4, 6
"""PNG's colour types (W3C PNG, table 11.1)."""
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def encode(picture: Image.Image, media_type: str = "image/png", **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, PILLOW_FORMATS[media_type], **options)
    return written.getvalue()


def frames_of(body: bytes, media_type: str = "image/png", limits: MediaLimits | None = None) -> list[Frame]:
    limits = limits or MediaLimits()
    with decoding(media_type):
        return list(sample_frames(lambda: open_picture(body, media_type, limits), limits, NO_HURRY).frames)


def pixels_of(body: bytes, media_type: str = "image/png") -> list[NDArray[np.uint8]]:
    frames = frames_of(body, media_type)
    assert {frame.picture.mode for frame in frames} == {"RGB"}
    return [np.asarray(frame.picture) for frame in frames]


def png(samples: NDArray[np.uint16], colour_type: int, bits: int = 16, transparent: bytes | None = None) -> bytes:
    """A PNG of a kind that Pillow does not write; ``samples`` is ``(height, width)``, then channels if several."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    def packed(row: NDArray[np.uint16]) -> bytes:
        if bits == 16:
            return row.astype(">u2").tobytes()
        shifts = range(8 - bits, -1, -bits)
        return bytes(
            sum(int(sample) << shift for sample, shift in zip(group, shifts, strict=True))
            for group in row.reshape(-1, 8 // bits)
        )

    height_px, width_px = samples.shape[:2]
    rows = b"".join(b"\x00" + packed(row) for row in samples)
    colour_key = chunk(b"tRNS", transparent) if transparent is not None else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, bits, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + colour_key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def half_and_half(mode: str, left: object, right: object) -> Image.Image:
    picture = Image.new(mode, (32, 16), left)  # type: ignore[arg-type]
    picture.paste(right, (16, 0, 32, 16))  # type: ignore[arg-type]
    return picture
