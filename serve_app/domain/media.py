"""Bodies of bytes, and the views that are cut from them for a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serve_app.domain.fingerprints import FrameFingerprint


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of one picture, read in full, and their sha256 (hex)."""

    content: bytes = field(repr=False)
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Body:
        """For bytes that were not hashed while they arrived; slow for large bodies."""
        return cls(content, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class ViewPlace:
    """Where in the media a view was cut, so that a decision can name the part of the picture that decided it.

    ``box`` is left, top, right, bottom as shares of the upright frame's width and height, each in 0..1.
    """

    frame: int
    box: tuple[float, float, float, float]


FACE_SIZE_PX = 64
"""Side of a face that is cut."""


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces that were found in one picture, for models that look at faces alone.

    ``pixels`` is uint8, ``(faces, FACE_SIZE_PX, FACE_SIZE_PX, 3)``, RGB, turned upright; ``places`` has one entry per
    face.
    """

    pixels: NDArray[np.uint8]
    places: tuple[ViewPlace, ...]


NO_FACES = Faces(np.empty((0, FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8), ())
"""None were found, or none were looked for."""


@dataclass(frozen=True, slots=True)
class Views:
    """The squares of one picture that the models score.

    ``pixels`` is uint8, ``(views, size_px, size_px, 3)``, RGB, upright; ``places`` has one entry per view.
    ``is_truncated`` if the end of the file is missing and these are views of its first part. ``fingerprints`` has one
    entry for each reading of each sampled frame. ``faces`` are views of a kind of their own.
    """

    pixels: NDArray[np.uint8]
    places: tuple[ViewPlace, ...]
    media_type: str
    frames_seen: int
    frames_total: int
    is_truncated: bool = False
    fingerprints: tuple[FrameFingerprint, ...] = field(default=(), repr=False)
    faces: Faces = field(default=NO_FACES, repr=False)
