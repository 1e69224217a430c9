"""Whether a worker that decodes saw of a body what the front sees of it."""

from __future__ import annotations

from typing import Final

from serve_app.domain import FrameFingerprint, Views

_GOOD_QUALITY: Final = 50
_MOST_BITS: Final = 31
"""PDQ's own: below this quality hashes say little, and within this distance they are of the same picture."""


def difference_of(told: Views, own: Views) -> str | None:
    """How what a worker told differs from the views that the front has cut; None where it does not."""
    for what in ("media_type", "frames_seen", "frames_total", "is_truncated"):
        said, seen = getattr(told, what), getattr(own, what)
        if said != seen:
            return f"{what.replace('_', ' ')} {said}, not {seen}"
    if told.places != own.places or told.faces.places != own.faces.places:
        return "views of other places"
    if [each.frame for each in told.fingerprints] != [each.frame for each in own.fingerprints]:
        return "fingerprints of other frames"
    if not all(map(_is_alike, told.fingerprints, own.fingerprints)):
        return "the fingerprint of another picture"
    return None


def _is_alike(told: FrameFingerprint, own: FrameFingerprint) -> bool:
    if own.quality < _GOOD_QUALITY:
        return True
    bits = (int.from_bytes(told.pdq, "big") ^ int.from_bytes(own.pdq, "big")).bit_count()
    return told.quality >= _GOOD_QUALITY // 2 and bits <= _MOST_BITS
