"""Media of wanted sizes, drawn from a seed, and JPEGs that no ledger knows: known bytes are answered without a scan."""

from __future__ import annotations

import io
import random
import secrets
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

MakeBody = Callable[[], bytes]
"""Gives the next body of a load."""

_START_OF_IMAGE_BYTES = 2
_MARK_BYTES = 16
_COMMENT = b"\xff\xfe" + (_MARK_BYTES + 2).to_bytes(2, "big")


class Size(StrEnum):
    """A size of JPEGs, or a mixture of sizes."""

    KB_20 = "20KB"
    KB_200 = "200KB"
    MB_2 = "2MB"
    MIX = "mix"


# The mixture is what an instance sees: thumbnails, pictures from the web, photographs of phones.
_BYTES: Mapping[Size, tuple[int, ...]] = {
    Size.KB_20: (20_000,),
    Size.KB_200: (200_000,),
    Size.MB_2: (2_000_000,),
    Size.MIX: (20_000, 200_000, 200_000, 500_000, 2_000_000),
}


def pictures_of(size: Size, seed: int) -> MakeBody:
    """JPEGs that are drawn once from a seed, in an order of that seed; no body was ever sent before."""
    drawn = [photo_like_jpeg(target_bytes, seed + place) for place, target_bytes in enumerate(_BYTES[size])]
    source = random.Random(seed)
    return lambda: unique(source.choice(drawn))


def unique(jpeg: bytes) -> bytes:
    """The same picture with a random comment behind the start-of-image marker."""
    return jpeg[:_START_OF_IMAGE_BYTES] + _COMMENT + secrets.token_bytes(_MARK_BYTES) + jpeg[_START_OF_IMAGE_BYTES:]


def photo_like_jpeg(target_bytes: int, seed: int) -> bytes:
    """A JPEG within 5 % of ``target_bytes``: clouds of colour under fine grain, at quality 85 as phones save them.

    The number of pixels makes the size, as in photographs, so that decoding costs what it costs for them.
    """
    return photo_like(target_bytes, "JPEG", seed, quality=85)


def photo_like(target_bytes: int, kind: str, seed: int, **options: int) -> bytes:
    """The same as Pillow's ``kind``."""
    low, high = 64, 8192
    while True:
        width_px = (low + high) // 2
        body = photo_like_image(width_px, kind, seed, **options)
        if abs(len(body) - target_bytes) <= 0.05 * target_bytes or high - low <= 1:
            return body
        low, high = (width_px, high) if len(body) < target_bytes else (low, width_px)


def photo_like_image(width_px: int, kind: str, seed: int, alpha: int | None = None, **options: int) -> bytes:
    """The same of a width, 4:3; with ``alpha`` (0 to 255) all over it, if given."""
    source = np.random.default_rng(seed)
    height_px = width_px * 3 // 4
    grain = source.integers(-8, 9, (height_px, width_px, 1), dtype=np.int16)
    pixels = (_clouds(source, width_px, height_px) + grain).clip(0, 255).astype(np.uint8)
    if alpha is not None:
        pixels = np.dstack([pixels, np.full(pixels.shape[:2], alpha, np.uint8)])
    body = io.BytesIO()
    Image.fromarray(pixels).save(body, kind, **options)
    return body.getvalue()


def animation_gif(frames: int, seed: int) -> bytes:
    """A GIF of 320x240 in which a square wanders over clouds of colour, ten frames a second."""
    first, *others = (Image.fromarray(frame) for frame in _wandering(frames, 320, 240, seed))
    body = io.BytesIO()
    first.save(body, "GIF", save_all=True, append_images=others, duration=100, loop=0)
    return body.getvalue()


def video_mp4(duration_s: float, seed: int) -> bytes:
    """An H.264 video of 640x360 at 25 frames a second of the same."""
    body = io.BytesIO()
    with av.open(body, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for frame in _wandering(round(duration_s * 25), 640, 360, seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return body.getvalue()


def _clouds(source: np.random.Generator, width_px: int, height_px: int) -> NDArray[np.int16]:
    few = Image.fromarray(source.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return np.asarray(few.resize((width_px, height_px), Image.Resampling.BICUBIC), np.int16)


def _wandering(frames: int, width_px: int, height_px: int, seed: int) -> Iterator[Pixels]:
    source = np.random.default_rng(seed)
    clouds, side_px = _clouds(source, width_px, height_px).astype(np.uint8), height_px // 6
    for frame in range(frames):
        left_px = round((width_px - side_px) * frame / max(1, frames - 1))
        picture = clouds.copy()
        picture[side_px : 2 * side_px, left_px : left_px + side_px] = 255
        yield picture
