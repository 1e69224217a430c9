"""JPEG bodies of wanted sizes, and copies of them that no cache knows."""

from __future__ import annotations

import io
import secrets

import numpy as np
from PIL import Image

_SEGMENT_COMMENT = b"\xff\xfe"
_START_OF_IMAGE_BYTES = 2
_MARK_BYTES = 16


def photo_like_jpeg(target_bytes: int, seed: int) -> bytes:
    """A JPEG within 5 % of ``target_bytes``: clouds of colour under fine grain, at quality 85 as phones save them.

    The number of pixels is what makes the size, as in photographs, so that decoding costs what it costs for them.
    """
    low, high = 64, 8192
    while True:
        width_px = (low + high) // 2
        body = _jpeg(width_px, width_px * 3 // 4, seed)
        if abs(len(body) - target_bytes) <= 0.05 * target_bytes or high - low <= 1:
            return body
        low, high = (width_px, high) if len(body) < target_bytes else (low, width_px)


def unique(jpeg: bytes) -> bytes:
    """The same picture with bytes that no run before has sent: a random comment behind the start-of-image marker."""
    segment = _SEGMENT_COMMENT + (_MARK_BYTES + 2).to_bytes(2, "big") + secrets.token_bytes(_MARK_BYTES)
    return jpeg[:_START_OF_IMAGE_BYTES] + segment + jpeg[_START_OF_IMAGE_BYTES:]


def _jpeg(width_px: int, height_px: int, seed: int) -> bytes:
    source = np.random.default_rng(seed)
    clouds = Image.fromarray(source.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    smooth = np.asarray(clouds.resize((width_px, height_px), Image.Resampling.BICUBIC), np.int16)
    grain = source.integers(-8, 9, (height_px, width_px, 1), dtype=np.int16)
    body = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(body, "JPEG", quality=85)
    return body.getvalue()
