"""Videos that the tests of this folder encode, and the frames that are sampled of them."""

from __future__ import annotations

import io
from collections.abc import Iterable

import av
import av.logging
import numpy as np
from numpy.typing import NDArray

from serve_app.domain import (
    Deadline,
)
from serve_app.domain.limits import MediaLimits
from serve_app.media.video import sample_video
from tests.usual_priority import usual_priority

NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
LIMITS = MediaLimits()
SIDE_PX = 64
VIEW_PX = 224
FPS = 25

ENCODERS = {
    "h264 in mp4": ("libx264", "video/mp4", {"preset": "veryfast"}),
    "hevc in mp4": ("libx265", "video/mp4", {"preset": "ultrafast", "x265-params": "log-level=none"}),
    "av1 in mp4": ("libsvtav1", "video/mp4", {"preset": "12", "svtav1-params": "lp=1"}),
    "vp8 in webm": ("libvpx", "video/webm", {"deadline": "realtime", "cpu-used": "-8"}),
    "vp9 in webm": ("libvpx-vp9", "video/webm", {"deadline": "realtime", "cpu-used": "8"}),
    "av1 in webm": ("libsvtav1", "video/webm", {"preset": "12", "svtav1-params": "lp=1"}),
}
CONTAINERS = {"video/mp4": "mp4", "video/webm": "webm"}
RED = (255, 0, 0)


def one_colour(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((SIDE_PX, SIDE_PX, 3), colour, np.uint8)


def moving(step: int) -> NDArray[np.uint8]:
    """A bar that walks over a dark picture: every frame differs from its neighbours."""
    frame = one_colour((20, 30, 60))
    frame[:, 4 * step % SIDE_PX : 4 * step % SIDE_PX + 8] = (40, 160, 200)
    return frame


def encode(
    frames: Iterable[NDArray[np.uint8]],
    kind: str = "h264 in mp4",
    times: list[int] | None = None,
    rotation: int = 0,
    muxing: dict[str, str] | None = None,
) -> bytes:
    """A video; ``times`` in 1/25 s says when each frame begins, else they follow one another evenly."""
    encoder, media_type, options = ENCODERS[kind]
    written = io.BytesIO()
    with usual_priority(), av.open(written, "w", format=CONTAINERS[media_type], options=muxing or {}) as container:
        stream = container.add_stream(encoder, rate=FPS, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for index, pixels in enumerate(frames):
            if index == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts = times[index] if times else index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return written.getvalue()


def look(
    body: bytes, media_type: str = "video/mp4", limits: MediaLimits = LIMITS, deadline: Deadline = NO_HURRY
) -> list[tuple[int, NDArray[np.uint8]]]:
    sample = sample_video(body, media_type, limits, VIEW_PX, deadline)
    frames = [(frame.index, np.asarray(frame.picture)) for frame in sample.frames]
    assert tuple(index for index, _ in frames) == sample.indices
    return frames


def look_at_all(body: bytes, media_type: str = "video/mp4") -> list[tuple[int, NDArray[np.uint8]]]:
    """As :func:`look`, where a frame has several readings."""
    sample = sample_video(body, media_type, LIMITS, VIEW_PX, NO_HURRY)
    return [(frame.index, np.asarray(frame.picture)) for frame in sample.frames]


def is_red(pixels: NDArray[np.uint8]) -> bool:
    return bool((np.abs(pixels.mean(axis=(0, 1)) - RED) < 40).all())


WHOLE = {kind: encode(map(moving, range(40)), kind) for kind in ENCODERS}
ONE_OF_EACH = ("h264 in mp4", "vp9 in webm")
