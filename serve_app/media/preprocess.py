"""The room's one door: a body to what the model is shown of it."""

from __future__ import annotations

import numpy as np

from serve_app.domain import Deadline, ViewPlace, Views
from serve_app.media.decode import decoding, open_shrunk
from serve_app.media.frames import frames_total, sample_frames, sample_indices
from serve_app.media.limits import MediaLimits
from serve_app.media.sniff import sniff
from serve_app.media.views import DECODE_OVERSAMPLING, View, cut_views


def preprocess(body: bytes, view_size_px: int, limits: MediaLimits, deadline: Deadline) -> Views:
    """Sniff, decode under ``limits``, sample frames, cut views of ``view_size_px``.

    Raises:
        UnsupportedError: of no type that we read.
        UndecodableError: cannot be read from end to end.
        TooLargeError: beyond ``limits``.
        DeadlineExceededError: no time is left; asked before the decoding and between frames.
    """
    media_type = sniff(body)
    deadline.require("decoding")
    picture = open_shrunk(body, media_type, limits, view_size_px * DECODE_OVERSAMPLING)
    views: list[View] = []
    places: list[ViewPlace] = []
    with decoding(media_type):
        total = frames_total(picture)
        for frame in sample_frames(picture, limits):
            cut = cut_views(frame.picture, view_size_px, limits.max_views)
            views += cut
            places += [ViewPlace(frame.index, view.box) for view in cut]
            deadline.require("decoding")
    return Views(
        pixels=np.stack([view.pixels for view in views]),
        places=tuple(places),
        media_type=media_type,
        frames_seen=len(sample_indices(total, limits.max_frames)),
        frames_total=total,
    )
