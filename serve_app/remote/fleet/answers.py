"""Whether an answer can be that of an honest worker, as far as it shows by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from serve_app.domain import (
    DIHEDRAL_HASHES,
    PDQ_BYTES,
    Faces,
    FrameFingerprint,
    ViewPlace,
    Views,
    needs_faces,
)
from serve_app.domain.media import FACE_SIZE_PX
from serve_app.remote.frames import MOST_VIEWS
from serve_app.remote.messages import Examined, Scored

_MOST_FRAMES: Final = 2**31 - 1
_MOST_QUALITY: Final = 100
_MEDIA_TYPE_CHARACTERS: Final = 100


def flaw_of(scored: Scored | Examined, views: Views, labels: tuple[str, ...]) -> str | None:
    """What is wrong with the scores of ``views``; None if nothing is.

    A score may be unknown (NaN) where its classifier had nothing to look at: that of faces in any row, and any score
    in the row of a face.
    """
    shape = (len(views.pixels) + len(views.faces.pixels), len(labels))
    if scored.values.shape != shape:
        return f"it answered with {scored.values.shape} scores where {shape} were asked for"
    if not math.isfinite(scored.logit_scale) or scored.logit_scale <= 0:
        return f"it answered with a logit scale of {scored.logit_scale}"
    if np.isinf(scored.values).any():
        return "it answered with an infinite score"
    of_views = [column for column, label in enumerate(labels) if not needs_faces(label)]
    if np.isnan(scored.values[: len(views.pixels), of_views]).any():
        return "it answered with a score that is no number"
    return None


def flaw_of_views(examined: Examined) -> str | None:
    """What is wrong with what a worker says of a body that it decoded; None if nothing is."""
    views, places = len(examined.places), (*examined.places, *examined.faces)
    readings, frames = examined.readings, (examined.frames_seen, examined.frames_total)
    media_type = examined.media_type
    if not 1 <= views <= MOST_VIEWS or len(examined.faces) > MOST_VIEWS:
        return f"it answered with {views} views and {len(examined.faces)} faces of a picture"
    if not all(map(_is_place, places)):
        return "it answered with a view that lies outside of its picture"
    if examined.hashes.shape != (len(readings), DIHEDRAL_HASHES * PDQ_BYTES) or len(readings) > views:
        return f"it answered with {examined.hashes.shape} hashes for {len(readings)} fingerprints of {views} views"
    if not all(0 <= frame <= _MOST_FRAMES and 0 <= quality <= _MOST_QUALITY for frame, quality in readings):
        return "it answered with a fingerprint that no frame has"
    if not all(1 <= count <= _MOST_FRAMES for count in frames):
        return f"it answered with {frames[0]} of {frames[1]} frames"
    if len(media_type) > _MEDIA_TYPE_CHARACTERS or not (media_type.isprintable() and media_type.isascii()):
        return "it answered with a type that no file has"
    if not (math.isfinite(examined.decoded_s) and math.isfinite(examined.held_s)):
        return "it answered with a time that is no number"
    return None


def views_told(examined: Examined) -> Views:
    """The views of a body that a worker decoded, without their pixels; :func:`flaw_of_views` has found no flaw."""
    hashes: Sequence[bytes] = [each.tobytes() for each in examined.hashes]
    return Views(
        np.empty((len(examined.places), 0, 0, 3), np.uint8),
        examined.places,
        examined.media_type,
        examined.frames_seen,
        examined.frames_total,
        examined.is_truncated,
        tuple(
            FrameFingerprint(frame, quality, of) for (frame, quality), of in zip(examined.readings, hashes, strict=True)
        ),
        Faces(np.empty((len(examined.faces), 0, FACE_SIZE_PX, 3), np.uint8), examined.faces),
    )


def _is_place(place: ViewPlace) -> bool:
    left, top, right, bottom = place.box
    is_box = 0.0 <= left < right <= 1.0 and 0.0 <= top < bottom <= 1.0  # false too where one is no number
    return is_box and 0 <= place.frame <= _MOST_FRAMES
