"""How a body is decoded for the labels that are scored: it joins the rooms ``media`` and ``models``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from serve_app.domain import needs_faces
from serve_app.media import preprocess
from serve_app.media.faces import DlibDetector
from serve_app.media.worker_messages import Decode
from serve_app.models.age import LANDMARKS_FILE, require_fetched

__all__ = ["Decode", "decode_for"]


def decode_for(labels: Sequence[str], cache_folder: Path | None) -> Decode:
    """Views, and faces beside them where a label is about faces. A worker can be sent it.

    Args:
        labels: those that are scored.
        cache_folder: where fetched models are; None for the user's own cache.

    Raises:
        ModelError: dlib or the landmarks of faces are not there.
    """
    if not any(map(needs_faces, labels)):
        return preprocess
    return partial(preprocess, detector=DlibDetector(require_fetched(cache_folder).folder / LANDMARKS_FILE))
