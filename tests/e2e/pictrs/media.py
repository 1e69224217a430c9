"""One file of each type that pict-rs takes, showing what the preset starter accepts or what it rejects."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction

import av
import numpy as np
import pillow_jxl  # noqa: F401 - Pillow writes JPEG XL with it
from PIL import Image, ImageDraw

from tests.serve.conftest import ROOT

_SAMPLES = ROOT / "serve_app" / "cli" / "samples"
_SIZE_PX = (320, 240)
_FRAMES = 3
_FRAMES_PER_S = 10

_STILL = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "avif": "AVIF"}
_ANIMATED = {"apng": "PNG", "gif": "GIF", "animated webp": "WEBP", "animated avif": "AVIF"}
_VIDEO = {"mp4": "libx264", "webm": "libvpx-vp9"}

MEDIA_TYPES: Mapping[str, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "avif": "image/avif",
    "jxl": "image/jxl",
    "apng": "image/png",
    "gif": "image/gif",
    "animated webp": "image/webp",
    "animated avif": "image/avif",
    "mp4": "video/mp4",
    "webm": "video/webm",
}
"""As Pictwarden sees them."""

AS_FFMPEG_SEES_IT: Mapping[str, str] = {"animated avif": "video/mp4"}
"""Types as which pict-rs in full mode may store others: by ffmpeg 5, an animated AVIF is a video."""


def media(kind: str, number: int, *, is_rejected: bool) -> bytes:
    """A file of the type ``kind``; another ``number`` makes other bytes. Of several frames the second one decides."""
    frames = [_frame(number, step, is_rejected=is_rejected and step in (0, 1)) for step in range(_FRAMES)]
    written = io.BytesIO()
    if kind == "jxl":  # exiftool takes no bare codestream
        frames[0].save(written, "JXL", use_container=True)
    elif kind in _STILL:
        frames[0].save(written, _STILL[kind], quality=90)
    elif kind in _ANIMATED:
        _, *deciding = frames
        calm = _frame(number, 0, is_rejected=False)
        calm.save(written, _ANIMATED[kind], save_all=True, append_images=deciding, duration=1000 // _FRAMES_PER_S)
    else:
        _write_video(written, kind, frames)
    return written.getvalue()


def noise(side_px: int, number: int) -> bytes:
    """A PNG that no program makes shorter: three bytes for each of its pixels."""
    pixels = np.random.default_rng(number).integers(0, 256, (side_px, side_px, 3), np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG", compress_level=0)
    return written.getvalue()


def _frame(number: int, step: int, *, is_rejected: bool) -> Image.Image:
    name = "red-triangle.png" if is_rejected else "landscape.jpg"
    with Image.open(_SAMPLES / name) as sample:
        frame = sample.convert("RGB").resize(_SIZE_PX)
    # A row of marks in a corner: the number's digits, one column each, and the frame's.
    draw = ImageDraw.Draw(frame)
    for column, digit in enumerate(f"{number:04}{step}"):
        draw.rectangle((4 * column, 0, 4 * column + 3, 3), fill=(25 * int(digit), 128, 128))
    return frame


def _write_video(written: io.BytesIO, kind: str, frames: list[Image.Image]) -> None:
    with av.open(written, "w", format=kind) as container:
        stream = container.add_stream(_VIDEO[kind], rate=Fraction(_FRAMES_PER_S))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = _SIZE_PX
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame))))
        container.mux(stream.encode())
