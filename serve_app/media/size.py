"""The size of a picture, asked of before any pixel of it is allocated."""

from __future__ import annotations

from serve_app.domain import TooLargeError, UndecodableError
from serve_app.domain.limits import MediaLimits


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
