"""An image sequence, and the still beside it: programs differ in which of the two they show, so that both are scanned.

An AVIF or HEIF that has tracks (``moov``) besides items (``meta``) is one file with two pictures. Its writer chooses by
the major brand which of them libavif shows, and other programs choose by what they can do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from serve_app.domain import Deadline
from serve_app.domain.limits import MediaLimits
from serve_app.media.colour import has_unusable_profile
from serve_app.media.frames import FrameSample, joined, sample_frames
from serve_app.media.parsers.heif_items import read_items, without_alpha, without_tracks
from serve_app.media.parsers.iso_boxes import has_iso_box
from serve_app.media.parsers.malformed import MalformedError
from serve_app.media.pictures import open_picture
from serve_app.media.video import sample_video

_TYPES = frozenset({"image/avif", "image/heic", "image/heif"})
_MAJOR_BRAND = slice(8, 12)


def is_sequence(body: bytes, media_type: str) -> bool:
    """Whether a file of stills has a track as well."""
    return media_type in _TYPES and has_iso_box(body, b"moov")


def sample_sequence(
    body: bytes,
    media_type: str,
    limits: MediaLimits,
    view_size_px: int,
    deadline: Deadline,
    shrink: Callable[[Image.Image], Image.Image],
    is_lenient: bool = False,
) -> FrameSample:
    """The frames of the track that are looked at, and the still after them unless it is the first of them.

    Raises:
        UnscannedError: as :func:`serve_app.media.video.sample_video` and :func:`serve_app.media.pictures.open_picture`.
    """
    has_still = _has_still(body)
    of_track = replace(limits, max_frames=max(1, limits.max_frames - 1)) if has_still else limits
    if media_type != "image/avif":
        track = sample_video(body, media_type, of_track, view_size_px, deadline, is_lenient)
        others = [without_tracks(body)] if has_still else []
    else:
        animated = body[: _MAJOR_BRAND.start] + b"avis" + body[_MAJOR_BRAND.stop :]
        track = sample_frames(partial(open_picture, animated, media_type, limits), of_track, deadline, shrink)
        still = body[: _MAJOR_BRAND.start] + b"avif" + body[_MAJOR_BRAND.stop :]
        others = [still] if has_still and not _show_the_same(animated, still, media_type, limits) else []
        opaque = without_alpha(animated)
        if opaque != animated and has_unusable_profile(open_picture(animated, media_type, limits)):
            others.append(opaque)  # browsers show it where it stands in place of a video, and then opaque
    opened = [
        sample_frames(partial(open_picture, each, media_type, limits), of_track, deadline, shrink) for each in others
    ]
    return joined([track, *opened])


def _has_still(body: bytes) -> bool:
    try:
        found = read_items(body)
    except MalformedError:
        return False
    return bool(found.item(found.primary).pieces or found.item(found.primary).references)


def _show_the_same(one: bytes, other: bytes, media_type: str, limits: MediaLimits) -> bool:
    """Whether two readings of a file begin with the same picture, as nearly all do."""
    first, second = (np.asarray(open_picture(body, media_type, limits)) for body in (one, other))
    return first.shape == second.shape and bool((first == second).all())
