"""Whether we scan what Chromium shows: our views of a file beside Chromium's drawing of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import Deadline, OnTruncated, UnscannedError, UnsupportedError, Views
from serve_app.media import MediaLimits, preprocess
from serve_app.media.parsers.sniff import sniff
from tests.e2e.browser.chromium import Drawn

MAX_DIFFERENCE = 16.0
"""Grey levels (of 255) on average over all blocks and channels. A picture that is turned, mirrored or tone-mapped
otherwise differs by more, one that is resampled otherwise by about one."""

COMPARED_FROM_PX = 64
"""Pictures with a side of at most this many pixels are not compared: enlarging them is a matter of taste."""

PICTRS_TYPES = frozenset(
    {"image/avif", "image/gif", "image/jpeg", "image/jxl", "image/png", "image/webp", "video/mp4", "video/webm"}
)
"""What pict-rs sends; an APNG has the type of a PNG."""

BLOCKS = 12
"""Blocks on each side of a picture."""

_VIEW_SIZE_PX = 20 * BLOCKS
_WHOLE = (0.0, 0.0, 1.0, 1.0)
_PATIENCE_S = 60.0
_LIMITS = MediaLimits()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one file.

    ``is_shown`` if something is to be seen of it in Chromium, and pict-rs lets pictures of its size through to us.
    ``difference`` is in grey levels, ``None`` where the pictures were not compared.
    """

    media_type: str
    is_shown: bool
    refusal: str | None
    difference: float | None = None

    @property
    def is_refused_though_shown(self) -> bool:
        return self.is_shown and self.refusal is not None

    @property
    def is_another_picture(self) -> bool:
        return self.difference is not None and self.difference > MAX_DIFFERENCE

    @property
    def fault(self) -> str | None:
        """What is wrong, in words; ``None`` if nothing is."""
        if self.is_refused_though_shown:
            return f"Chromium shows it, and we refuse it: {self.refusal}"
        if self.is_another_picture:
            return f"no view of ours is nearer to what Chromium shows than {self.difference:.1f} grey levels"
        return None


def judge(body: bytes, drawn: Drawn | None) -> Outcome:
    """Our views of ``body`` beside what Chromium drew of it. A cut file is scanned, as in the background lane."""
    media_type = _media_type(body)
    is_shown = drawn is not None and not drawn.is_blank and drawn.width_px * drawn.height_px <= _LIMITS.max_pixels
    try:
        views = preprocess(body, _VIEW_SIZE_PX, _LIMITS, Deadline.after(_PATIENCE_S), on_truncated=OnTruncated.SCAN)
    except UnscannedError as error:
        return Outcome(media_type, is_shown, f"{error.reason}: {error}")
    if drawn is None or not is_shown or min(drawn.width_px, drawn.height_px) <= COMPARED_FROM_PX:
        return Outcome(media_type, is_shown, None)
    ours = _whole_views(views, _frames_shown_first(body, views))
    theirs = (drawn.over_white, drawn.over_black)
    # Of a cut file Chromium leaves out what it lacks, where decoders put grey, or the rows that are half there.
    where = _whole_blocks(drawn.opaque) if views.is_truncated else np.ones((BLOCKS, BLOCKS), bool)
    if not where.any():
        return Outcome(media_type, is_shown, None)
    nearest = min(difference(view, drawing, where) for view in ours for drawing in theirs)
    return Outcome(media_type, is_shown, None, nearest)


def _whole_views(views: Views, frames: set[int]) -> list[NDArray[np.uint8]]:
    """Our views of the whole picture, of these frames."""
    return [
        pixels
        for pixels, place in zip(views.pixels, views.places, strict=True)
        if place.frame in frames and place.box == _WHOLE
    ]


def _frames_shown_first(body: bytes, views: Views) -> set[int]:
    """Numbers of the frames that Chromium may show first: a still beside an animation has a number too."""
    frames = sorted({place.frame for place in views.places})
    if views.media_type == "image/png" and body.find(b"fcTL") > body.find(b"IDAT") >= 0:
        return set(frames[:2])  # the still comes ahead of the animation
    if views.media_type == "image/avif" and b"moov" in body:
        return {frames[0], frames[-1]}  # the still comes behind it
    return {frames[0]}


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
    """Mean difference of two square pictures in grey levels, over the blocks that ``where`` names."""
    return float(np.abs(blocks(one) - blocks(other))[where].mean())


def _whole_blocks(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Blocks of which every pixel is true."""
    side_px = len(pixels) // BLOCKS
    return np.asarray(pixels.reshape(BLOCKS, side_px, BLOCKS, side_px).all(axis=(1, 3)))


def blocks(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A square picture averaged to ``(BLOCKS, BLOCKS, 3)``; its side is a multiple of ``BLOCKS``."""
    side_px = len(pixels) // BLOCKS
    averaged: NDArray[np.float64] = pixels.reshape(BLOCKS, side_px, BLOCKS, side_px, 3).mean(axis=(1, 3))
    return averaged


def _media_type(body: bytes) -> str:
    try:
        return sniff(body)
    except UnsupportedError:
        return "other"
