"""Whether a worker that decodes saw of a body what the front sees of it."""

from __future__ import annotations

from typing import Final

from serve_app.domain import PDQ_BYTES, FrameFingerprint, Views

_GOOD_QUALITY: Final = 50
_MOST_BITS: Final = 31
"""PDQ's own: below this quality hashes say little, and within this distance they are of the same picture."""

_MOST_QUALITY_OFF: Final = 5
"""Lists are not asked for a hash of low quality: a worker must not lower it."""


def difference_of(told: Views, own: Views) -> str | None:
    """How what a worker told differs from the views that the front has cut; None where it does not."""
    for what in ("media_type", "frames_seen", "frames_total", "is_truncated"):
        said, seen = getattr(told, what), getattr(own, what)
        if said != seen:
            return f"{what.replace('_', ' ')} {said}, not {seen}"
    # A face near the detector's threshold is found on one processor, and not on another.
    if told.places != own.places:
        return "views of other places"
    if [each.frame for each in told.fingerprints] != [each.frame for each in own.fingerprints]:
        return "fingerprints of other frames"
    if not all(map(_is_alike, told.fingerprints, own.fingerprints)):
        return "the fingerprint of another picture"
    return None


def _is_alike(told: FrameFingerprint, own: FrameFingerprint) -> bool:
    if own.quality < _GOOD_QUALITY:
        return True
    turned = range(0, len(own.hashes), PDQ_BYTES)
    bits = max(_bits_apart(told.hashes[at : at + PDQ_BYTES], own.hashes[at : at + PDQ_BYTES]) for at in turned)
    return told.quality >= own.quality - _MOST_QUALITY_OFF and bits <= _MOST_BITS


def _bits_apart(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()
