"""Bytes, and what is cut from them for a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of one picture, read in full, and their sha256 (hex)."""

    content: bytes = field(repr=False)
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Body:
        """For bytes that nobody has hashed while they arrived: 40 MB take 25 to 140 ms."""
        return cls(content, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class ViewPlace:
    """Where in the media a view was cut, so that a decision can say which part of the picture decided it.

    ``box`` is left, top, right, bottom as shares of the upright frame's width and height, each in 0..1.
    """

    frame: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Views:
    """What the model is shown of one picture.

    ``pixels`` is uint8, ``(views, size_px, size_px, 3)``, RGB, upright; ``places`` has one entry per view.
    ``is_truncated`` if the end of the file is missing, so that these are views of its first part.
    """

    pixels: NDArray[np.uint8]
    places: tuple[ViewPlace, ...]
    media_type: str
    frames_seen: int
    frames_total: int
    is_truncated: bool = False
