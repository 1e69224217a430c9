"""What a model is shown of a body, for the version that says so: a ledger recalls what was seen under the same version.

Only formats whose decoders compute in whole numbers, which every processor does alike. Hashes have a golden value of
their own: the canary's.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from serve_app.domain import Deadline, Views
from serve_app.limits import MEDIA_VERSION, MediaLimits
from serve_app.media import preprocess

GOLDEN = Path(__file__).with_name("media_version.json")
WAY_OUT = (
    "What is decoded or cut of a body has changed. Raise MEDIA_VERSION in serve_app/limits.py, so that bytes that were "
    f"examined before are examined again, and write {GOLDEN.name} anew:\n"
)
VIEW_PX = 224
NO_HURRY = Deadline(1.0, clock=lambda: 0.0)


def _samples(width_px: int, height_px: int, channels: int) -> NDArray[np.uint8]:
    """Gradients, a fine pattern and a hard edge in each channel."""
    across, down = np.meshgrid(np.arange(width_px), np.arange(height_px))
    planes = [
        across * 255 // width_px,
        down * 255 // height_px,
        (across * 7 + down * 13) % 256,
        (across > down) * 200 + 40,
    ]
    return np.stack(planes[:channels], axis=-1).astype(np.uint8)


def _drawn(mode: str = "RGB", size_px: tuple[int, int] = (640, 480)) -> Image.Image:
    return Image.fromarray(_samples(*size_px, len(mode)).squeeze())


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _encoded(_drawn(), "JPEG", quality=90, exif=exif)


def _animation() -> bytes:
    drawn = _drawn(size_px=(200, 120))
    turns = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180)
    frames = [each.quantize(64) for each in (drawn, *(drawn.transpose(turn) for turn in turns))]
    return _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)


BODIES: Mapping[str, Callable[[], bytes]] = {
    "a picture": lambda: _encoded(_drawn(), "PNG"),
    "a large picture": lambda: _encoded(_drawn(size_px=(1200, 900)), "PNG"),
    "a tall picture": lambda: _encoded(_drawn(size_px=(160, 1900)), "PNG"),
    "a small picture": lambda: _encoded(_drawn(size_px=(20, 30)), "BMP"),
    "a grey picture": lambda: _encoded(_drawn("L"), "PNG"),
    "a transparent picture": lambda: _encoded(_drawn("RGBA"), "PNG"),
    "a picture of few colours": lambda: _encoded(_drawn().quantize(16), "PNG"),
    "a photograph's format": lambda: _encoded(_drawn(), "JPEG", quality=80),
    "a large one of it": lambda: _encoded(_drawn(size_px=(1200, 900)), "JPEG", quality=80, progressive=True),
    "a turned one of it": _turned,
    "WebP": lambda: _encoded(_drawn(), "WEBP", quality=80),
    "lossless WebP": lambda: _encoded(_drawn("RGBA"), "WEBP", lossless=True),
    "an animation": _animation,
}


def _digest(views: Views) -> str:
    digest = hashlib.sha256(repr([(each.frame, each.box) for each in views.places]).encode())
    digest.update(np.ascontiguousarray(views.pixels).tobytes())
    return digest.hexdigest()[:16]


def test_the_version_changes_with_what_is_seen() -> None:
    views = {name: _digest(preprocess(body(), VIEW_PX, MediaLimits(), NO_HURRY)) for name, body in BODIES.items()}
    seen = {"media_version": MEDIA_VERSION, "views": views}
    if seen != json.loads(GOLDEN.read_text("utf-8")):
        pytest.fail(WAY_OUT + json.dumps(seen, indent=2))
