"""What a model is shown of a body, for the version that says so: a ledger recalls what was seen under the same version.

Formats whose decoders compute in whole numbers, which every processor does alike, are compared to the last bit. Of the
others, whose encoders differ between versions too, the mean colours of a grid are compared, with a tolerance. Hashes
have a golden value of their own: the canary's.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from serve_app.domain import Deadline, Views
from serve_app.domain.limits import MEDIA_VERSION, MediaLimits
from serve_app.media import preprocess
from serve_app.media.decoder_plugins import register_decoders
from tests.e2e.browser.generated import generated_files
from tests.e2e.browser.generated.drawing import draw
from tests.e2e.browser.generated.hdr import graded

GOLDEN = Path(__file__).with_name("media_version.json")
WAY_OUT = (
    "What is decoded or cut of a body has changed. Raise MEDIA_VERSION in serve_app/domain/limits.py, so that bytes "
    f"that were examined before are examined again, and write {GOLDEN.name} anew:\n"
)
VIEW_PX = 224
GRID = 4
TOLERANCE = 2
"""Of a mean, in levels of 255. Other encoders and processors change it by less; another matrix, by many."""

register_decoders()
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


NEAR_FILES = (
    "avif-rgb.avif",
    "avif-rgba.avif",
    "avif-444-limited-range.avif",
    "avif-10-bit.avif",
    "avif-10-bit-pq.avif",
    "avif-10-bit-hlg.avif",
    "avif-cicp-display-p3.avif",
    "avif-cicp-pq-graded.avif",
    "avif-profile-linear.avif",
    "avif-alpha-without-size.avif",
    "avif-grid.avif",
    "avif-cropped-and-turned.avif",
    "avif-animated.avif",
    "jxl-rgb-lossy.jxl",
    "jxl-rgba-lossless.jxl",
    "jxl-l-lossless.jxl",
    "jxl-orientation-6.jxl",
    "jxl-profile-display-p3.jxl",
    "mp4-h264-yuv420p.mp4",
    "mp4-h264-8-bit-bt601.mp4",
    "mp4-h264-8-bit-full-range.mp4",
    "mp4-h264-pq-graded.mp4",
    "mp4-h264-turned-90.mp4",
    "mp4-h264-wide-pixels.mp4",
    "mp4-hevc-yuv420p10le.mp4",
    "mp4-av1-yuv420p.mp4",
    "webm-vp8-yuv420p.webm",
    "webm-vp9-yuva420p.webm",
    "webm-vp9-8-bit-hlg.webm",
    "webm-av1-10-bit-pq.webm",
    "png-cicp-pq-rgb-8-bit.png",
    "png-cicp-hlg-rgb-16-bit.png",
    "png-cicp-linear-rgb-8-bit.png",
    "png-profile-display-p3-rgb.png",
    "jpeg-profile-adobe-rgb.jpg",
)
"""Of the files that a browser's pictures are compared with."""

NEAR_BODIES: Mapping[str, Callable[[], bytes]] = {
    **{name: make for name, make in generated_files().items() if name in NEAR_FILES},
    "HEIC": lambda: _encoded(draw(), "HEIF", quality=95),
    "transparent HEIC": lambda: _encoded(draw(mode="RGBA"), "HEIF", quality=95),
    "HEIC with PQ": lambda: _encoded(
        graded(draw()), "HEIF", quality=95, color_primaries=9, transfer_characteristics=16
    ),
}


def _views(body: bytes) -> Views:
    return preprocess(body, VIEW_PX, MediaLimits(), NO_HURRY)


def _digest(views: Views) -> str:
    digest = hashlib.sha256(repr([(each.frame, each.box) for each in views.places]).encode())
    digest.update(np.ascontiguousarray(views.pixels).tobytes())
    return digest.hexdigest()[:16]


def _means(views: Views) -> dict[str, str]:
    """The place of each view, and the mean colours of a grid over it, row by row in hexadecimal digits."""
    count, side = len(views.pixels), VIEW_PX // GRID
    means = views.pixels.reshape(count, GRID, side, GRID, side, 3).mean(axis=(2, 4)).round().astype(np.uint8)
    return {
        f"{number}: frame {place.frame}, {tuple(round(float(edge), 3) for edge in place.box)}": grid.tobytes().hex()
        for number, (place, grid) in enumerate(zip(views.places, means, strict=True))
    }


def _is_near(seen: Mapping[str, str], golden: Mapping[str, str] | None) -> bool:
    if golden is None or list(seen) != list(golden):
        return False
    levels, expected = (
        np.frombuffer(bytes.fromhex("".join(of.values())), np.uint8).astype(int) for of in (seen, golden)
    )
    return bool((np.abs(levels - expected) <= TOLERANCE).all())


def test_the_version_changes_with_what_is_seen() -> None:
    golden = json.loads(GOLDEN.read_text("utf-8"))
    exact = {name: _digest(_views(body())) for name, body in BODIES.items()}
    near = {name: _means(_views(body())) for name, body in NEAR_BODIES.items()}
    changed = [name for name, digest in exact.items() if golden["views"].get(name) != digest]
    changed += [name for name, means in near.items() if not _is_near(means, golden["near_views"].get(name))]
    known = {*golden["views"], *golden["near_views"]}
    if changed or known != {*exact, *near} or golden["media_version"] != MEDIA_VERSION:
        seen = {"media_version": MEDIA_VERSION, "views": exact, "near_views": near}
        pytest.fail(f"{', '.join(changed)}\n{WAY_OUT}{json.dumps(seen, indent=2)}")


def test_every_named_file_is_there() -> None:
    assert set(NEAR_FILES) <= NEAR_BODIES.keys()


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: pixels[:, :, ::-1],
        lambda pixels: pixels[..., ::-1],
        lambda pixels: (pixels.astype(float) * 219 / 255 + 16).astype(np.uint8),
        lambda pixels: np.clip(pixels.astype(int) + 4, 0, 255).astype(np.uint8),
    ],
    ids=["mirrored", "swapped channels", "another range", "a little brighter"],
)
@pytest.mark.parametrize("name", ["HEIC", "jxl-rgb-lossy.jxl"])
def test_a_change_is_not_near(name: str, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
    views = _views(NEAR_BODIES[name]())
    assert _is_near(_means(views), _means(views))
    assert not _is_near(_means(replace(views, pixels=change(views.pixels))), _means(views))
