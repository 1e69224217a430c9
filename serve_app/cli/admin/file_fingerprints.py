"""The fingerprints of a file on this machine, for a list."""

from __future__ import annotations

import hashlib
from pathlib import Path

from serve_app.domain import Deadline, UnscannedError
from serve_app.domain.lists import Fingerprint, FingerprintType, ListKind
from serve_app.lists.of_decisions import Selection, select

# Nobody waits for an answer: this only ends a decode that never would.
_DECODE_DEADLINE_S = 60.0

# Of no model: fingerprints do not depend on the size of views.
_VIEW_SIZE_PX = 224


def fingerprints_of_file(file: Path, kind: ListKind) -> Selection:
    """The sha256 of a file, and the PDQ of what it shows; ``note`` says why there is no PDQ.

    Of an animation that is to be denied, the sha256 alone: only a decision says which of its frames matters.

    Raises:
        OSError: it cannot be read.
    """
    from serve_app.media import MediaLimits, preprocess

    body = file.read_bytes()
    exact = Fingerprint(FingerprintType.SHA256, hashlib.sha256(body).digest())
    try:
        views = preprocess(body, _VIEW_SIZE_PX, MediaLimits(), Deadline.after(_DECODE_DEADLINE_S))
    except UnscannedError as error:
        return Selection((exact,), f"it cannot be decoded ({error}): the entry holds for exactly these bytes")
    if kind is ListKind.DENY and views.frames_seen > 1:
        return Selection(
            (exact,),
            "an animation: the entry holds for exactly these bytes. To deny what it shows, deny its decision, which "
            "knows the frame that matters",
        )
    return select(exact, kind, views.fingerprints)
