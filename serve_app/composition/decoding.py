"""How a body is decoded for the labels that are scored: it joins the rooms ``media`` and ``models``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from serve_app.domain import Deadline, OnTruncated, Views, needs_faces
from serve_app.domain.limits import MediaLimits
from serve_app.media import preprocess
from serve_app.media.faces import DlibDetector
from serve_app.models.age import LANDMARKS_FILE, require_fetched

Decode = Callable[[bytes, int, MediaLimits, Deadline, OnTruncated], Views]
"""As :func:`serve_app.media.preprocess`, for one set of labels."""


def detector_for(labels: Sequence[str], cache_folder: Path | None) -> DlibDetector | None:
    """What finds faces, if a label is about faces. A decode worker can be sent it.

    Args:
        labels: those that are scored.
        cache_folder: where fetched models are; None for the user's own cache.

    Raises:
        ModelError: dlib or the landmarks of faces are not there.
    """
    if not any(map(needs_faces, labels)):
        return None
    return DlibDetector(require_fetched(cache_folder).folder / LANDMARKS_FILE)


def decode_for(labels: Sequence[str], cache_folder: Path | None) -> Decode:
    """Views, and faces beside them where a label is about faces; arguments and errors of :func:`detector_for`."""
    detector = detector_for(labels, cache_folder)
    return preprocess if detector is None else partial(preprocess, detector=detector)
