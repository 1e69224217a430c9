"""The room's one door: a body to what the model is shown of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import numpy as np
from PIL import Image

from serve_app.domain import Deadline, OnTruncated, ViewPlace, Views
from serve_app.media.decode import ShrunkPictures, decoding
from serve_app.media.frames import Frame, FrameSample, sample_frames
from serve_app.media.limits import MediaLimits
from serve_app.media.sequences import is_sequence, sample_sequence
from serve_app.media.sniff import sniff
from serve_app.media.video import sample_video
from serve_app.media.video_track import VIDEO_TYPES
from serve_app.media.views import (
    DECODE_OVERSAMPLING,
    View,
    cut_views,
    reduced,
    reduced_before_colours,
    tile_rows,
    views_per_frame,
)


def preprocess(
    body: bytes,
    view_size_px: int,
    limits: MediaLimits,
    deadline: Deadline,
    on_truncated: OnTruncated = OnTruncated.REFUSE,
) -> Views:
    """Sniff, decode under ``limits``, sample frames, cut views of ``view_size_px``.

    Raises:
        UnsupportedError: of no type that we read.
        UndecodableError: cannot be read from end to end.
        TooLargeError: beyond ``limits``.
        DeadlineExceededError: no time is left; asked before the decoding and between frames.
    """
    media_type = sniff(body)
    deadline.require("decoding")
    views: list[View] = []
    places: list[ViewPlace] = []
    pictures = ShrunkPictures(body, media_type, limits, view_size_px * DECODE_OVERSAMPLING)
    with decoding(media_type):
        sample = _sample(body, media_type, pictures, view_size_px, limits, deadline)
        # Other types are decoded at full size, and each of their frames has its own.
        full_size_px = pictures.full_size_px if media_type == "image/jpeg" else None
        share = views_per_frame(len(sample.indices), limits.max_frames, limits.max_views)
        for index, frames in groupby(sample.frames, key=lambda frame: frame.index):
            cut = _cut(frames, view_size_px, share, full_size_px)
            views += cut
            places += [ViewPlace(index, view.box) for view in cut]
            deadline.require("decoding")
    return Views(
        pixels=np.stack([view.pixels for view in views]),
        places=tuple(places),
        media_type=media_type,
        frames_seen=len(sample.indices),
        frames_total=sample.total,
    )


def _sample(
    body: bytes,
    media_type: str,
    pictures: ShrunkPictures,
    view_size_px: int,
    limits: MediaLimits,
    deadline: Deadline,
) -> FrameSample:
    if media_type in VIDEO_TYPES:
        return sample_video(body, media_type, limits, view_size_px, deadline)

    def shrink(picture: Image.Image) -> Image.Image:
        return reduced_before_colours(picture, view_size_px, limits.max_views)

    if is_sequence(body, media_type):
        return sample_sequence(body, media_type, limits, view_size_px, deadline, shrink)
    return sample_frames(pictures, limits, deadline, shrink)


def _cut(frames: Iterable[Frame], size_px: int, share: int, full_size_px: tuple[int, int] | None) -> list[View]:
    """The views of one frame, given once or once per background: at most ``share``, and one of each at least."""
    pictures: list[Image.Image] = []
    rows = 1
    for frame in frames:
        rows = tile_rows(*(full_size_px or frame.full_size_px), size_px)
        pictures.append(reduced(frame.picture, size_px, share))
    return [view for picture in pictures for view in cut_views(picture, size_px, share // len(pictures), rows)]
