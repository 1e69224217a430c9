"""Media of wanted sizes, drawn from a seed, and copies of JPEGs that no ledger knows."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.client import Parts

_SEGMENT_COMMENT = b"\xff\xfe"
_START_OF_IMAGE_BYTES = 2
_MARK_BYTES = 16

Pixels = NDArray[np.uint8]


def photo_like_jpeg(target_bytes: int, seed: int) -> bytes:
    """A JPEG within 5 % of ``target_bytes``: clouds of colour under fine grain, at quality 85 as phones save them.

    The number of pixels is what makes the size, as in photographs, so that decoding costs what it costs for them.
    """
    return _of_size(target_bytes, lambda width_px: _written(_photo(width_px, seed), "JPEG", quality=85))


def photo_like_png(target_bytes: int, seed: int) -> bytes:
    """The same as PNG."""
    return _of_size(target_bytes, lambda width_px: _written(_photo(width_px, seed), "PNG"))


def photo_like_avif(target_bytes: int, seed: int) -> bytes:
    """The same as AVIF, at quality 75."""
    return _of_size(target_bytes, lambda width_px: _written(_photo(width_px, seed), "AVIF", quality=75, speed=8))


def photo_like_image(width_px: int, kind: str, seed: int, alpha: int | None = None, **options: int) -> bytes:
    """The same of a width, 4:3, written as Pillow's ``kind``; with ``alpha`` (0 to 255) all over it, if given."""
    pixels = _photo(width_px, seed)
    if alpha is not None:
        pixels = np.dstack([pixels, np.full(pixels.shape[:2], alpha, np.uint8)])
    return _written(pixels, kind, **options)


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


def unique_parts(jpeg: bytes) -> Parts:
    """The same picture with bytes that no run before has sent: a random comment behind the start-of-image marker.

    In two parts, the second of which is the JPEG's own memory: a load of 2 MB pictures copies none of them.
    """
    segment = _SEGMENT_COMMENT + (_MARK_BYTES + 2).to_bytes(2, "big") + secrets.token_bytes(_MARK_BYTES)
    return jpeg[:_START_OF_IMAGE_BYTES] + segment, memoryview(jpeg)[_START_OF_IMAGE_BYTES:]


def _of_size(target_bytes: int, written: Callable[[int], bytes]) -> bytes:
    """What ``written`` gives for the width (in pixels) at which it is within 5 % of ``target_bytes``."""
    low, high = 64, 8192
    while True:
        width_px = (low + high) // 2
        body = written(width_px)
        if abs(len(body) - target_bytes) <= 0.05 * target_bytes or high - low <= 1:
            return body
        low, high = (width_px, high) if len(body) < target_bytes else (low, width_px)


def _photo(width_px: int, seed: int) -> Pixels:
    """Clouds of colour under fine grain, 4:3."""
    source = np.random.default_rng(seed)
    height_px = width_px * 3 // 4
    grain = source.integers(-8, 9, (height_px, width_px, 1), dtype=np.int16)
    return (_clouds(source, width_px, height_px) + grain).clip(0, 255).astype(np.uint8)


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


def _written(pixels: Pixels, kind: str, **options: int) -> bytes:
    body = io.BytesIO()
    Image.fromarray(pixels).save(body, kind, **options)
    return body.getvalue()
