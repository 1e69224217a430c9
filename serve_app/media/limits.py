"""How much of a picture we are willing to take in."""

from __future__ import annotations

from dataclasses import dataclass

from serve_app.domain import TooLargeError, UndecodableError


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Bounds on one body's media. Beyond a bound the answer is ``too_large``.

    The defaults cover all that pict-rs lets through by default (40 Mpx stills, 900 frames of an animation).
    """

    max_pixels: int = 40_000_000
    """Width times height of one frame, checked in the header before any pixel is allocated."""
    max_frames_total: int = 900
    """Frames of an animation. To know a frame of most formats, all frames before it must be decoded."""
    max_frames: int = 16
    """Frames of an animation that are looked at, spread over its length, the first and the last included."""
    max_views: int = 12
    """Views cut from one still: one global view, and tiles for long shapes and very large pictures."""
    max_video_pixels: int = 8_294_400
    """As ``max_pixels``, for a frame of a video (3840x2160), whose decoder keeps up to 17 frames in memory."""
    max_duration_s: float = 900.0
    """Length of a video. To know that no picture stays in it unseen, all of its frames must be decoded."""
    max_decode_s: float = 5.0
    """Seconds of CPU time that one body may take to decode; then its worker is killed, and it is ``undecodable``."""
    max_decode_memory_bytes: int = 600_000_000
    """Memory that a worker may come to hold for one body, over what it holds before."""


def require_few(width_px: int, height_px: int, limits: MediaLimits) -> None:
    """Asked of a size that was read before any pixel of it is allocated.

    Raises:
        UndecodableError: there is no pixel at all.
        TooLargeError: more pixels than ``limits`` allow.
    """
    if width_px < 1 or height_px < 1:
        raise UndecodableError(f"{width_px}x{height_px} pixels are no picture")
    if width_px * height_px > limits.max_pixels:
        raise TooLargeError(f"{width_px}x{height_px} pixels are more than {limits.max_pixels}")
