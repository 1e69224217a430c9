"""Which fingerprints of a decision go on a list: the deciding frame to deny, every frame or none to allow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from serve_app.domain import (
    DIHEDRAL_HASHES,
    PDQ_BYTES,
    Decision,
    FrameFingerprint,
    Judged,
    Judgement,
    Listed,
    ListingError,
    ListMatch,
    ModelIdentity,
    Outcome,
    RecordedDecision,
    Unscanned,
    UnscannedReason,
    Verdict,
    ViewPlace,
)
from serve_app.domain.canary import CANARY_BANK, CANARY_REASON
from serve_app.domain.lists import Fingerprint, FingerprintType, ListKind
from serve_app.lists.of_decisions import fingerprints_of

SHA256 = "1" * 64
EXACT = Fingerprint(FingerprintType.SHA256, bytes.fromhex(SHA256))
MODEL = ModelIdentity("demo", "a" * 64, 224)
PERCEPTUAL = Listed(Verdict.REJECT, "spam", "7", "seen before", ListMatch.PERCEPTUAL, 12, 2, "image/gif", False)
KNOWN_BYTES = Listed(Verdict.REJECT, "spam", "7", "seen before")


def judged(frame: int) -> Judged:
    return Judged(
        Judgement(Verdict.REJECT, "r", "refused", 0, {}, 0.1),
        ViewPlace(frame, (0, 0, 1, 1)),
        "image/gif",
        views_seen=3,
        frames_seen=3,
        frames_total=90,
    )


def fingerprint(frame: int, quality: int = 90, reading: int = 0) -> FrameFingerprint:
    return FrameFingerprint(frame, quality, bytes([frame, reading] * 16) + bytes((DIHEDRAL_HASHES - 1) * PDQ_BYTES))


def entry(seen: FrameFingerprint) -> Fingerprint:
    return Fingerprint(FingerprintType.PDQ, seen.pdq, seen.quality)


def decision(outcome: Outcome, fingerprints: tuple[FrameFingerprint, ...] = ()) -> RecordedDecision:
    """One that has its fingerprints, and its examination no more."""
    made = Decision("r-1", datetime(2026, 1, 31, tzinfo=UTC), SHA256, 10, outcome, False, MODEL, "p", "c" * 64, 1.0)
    return RecordedDecision(made, fingerprints=fingerprints)


FRAMES = (fingerprint(0), fingerprint(1), fingerprint(2))


@pytest.mark.parametrize("outcome", [judged(2), PERCEPTUAL])
def test_the_deciding_frame_alone_is_denied(outcome: Outcome) -> None:
    selection = fingerprints_of(decision(outcome, FRAMES), ListKind.DENY)
    assert selection.fingerprints == (EXACT, entry(FRAMES[2]))
    assert selection.note == ""


def test_each_reading_of_the_deciding_frame_is_denied() -> None:
    readings = (fingerprint(0), fingerprint(1), fingerprint(1, reading=1))
    selection = fingerprints_of(decision(judged(1), readings), ListKind.DENY)
    assert selection.fingerprints == (EXACT, entry(readings[1]), entry(readings[2]))


def test_every_frame_is_allowed_and_equal_ones_once() -> None:
    frames = (*FRAMES, FRAMES[0])
    for outcome in (judged(2), PERCEPTUAL):
        selection = fingerprints_of(decision(outcome, frames), ListKind.ALLOW)
        assert selection.fingerprints == (EXACT, *map(entry, FRAMES))


def test_a_featureless_frame_keeps_the_others_from_being_allowed() -> None:
    selection = fingerprints_of(decision(judged(2), (*FRAMES, fingerprint(3, quality=49))), ListKind.ALLOW)
    assert selection.fingerprints == (EXACT,)
    assert "quality below 50" in selection.note


@pytest.mark.parametrize("kind", ListKind)
def test_a_featureless_picture_is_known_by_its_bytes(kind: ListKind) -> None:
    selection = fingerprints_of(decision(judged(0), (fingerprint(0, quality=49),)), kind)
    assert selection.fingerprints == (EXACT,)
    assert "exactly these bytes" in selection.note


@pytest.mark.parametrize("outcome", [judged(2), KNOWN_BYTES])
def test_of_a_decision_whose_fingerprints_are_gone_the_bytes_are_left(outcome: Outcome) -> None:
    selection = fingerprints_of(decision(outcome), ListKind.DENY)
    assert selection.fingerprints == (EXACT,)
    assert "no PDQ" in selection.note


@pytest.mark.parametrize(
    "cut",
    [
        decision(replace(judged(0), is_truncated=True)),
        decision(replace(PERCEPTUAL, is_truncated=True), FRAMES),
        decision(Unscanned(UnscannedReason.TRUNCATED, "the end is missing")),
        decision(Unscanned(UnscannedReason.OVERLOADED, "no time was left")),
    ],
)
def test_a_body_that_nobody_scanned_to_its_end_is_never_allowed(cut: RecordedDecision) -> None:
    with pytest.raises(ListingError, match="not scanned to its end"):
        fingerprints_of(cut, ListKind.ALLOW)
    assert fingerprints_of(cut, ListKind.DENY).fingerprints[0] == EXACT


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        (KNOWN_BYTES, "was not scanned, since entry 7"),
        (replace(PERCEPTUAL, is_truncated=None), "did not record whether"),
    ],
)
def test_where_nobody_knows_the_end_of_a_listed_picture_its_entry_is_the_thing_to_remove(
    listed: Outcome, why: str
) -> None:
    with pytest.raises(ListingError, match=f"{why}.*pictwarden list remove 7"):
        fingerprints_of(decision(listed, FRAMES), ListKind.ALLOW)


def test_the_canary_stays_refused() -> None:
    canary = Listed(Verdict.REJECT, CANARY_BANK, "canary", CANARY_REASON, ListMatch.PERCEPTUAL, 0, 0)
    with pytest.raises(ListingError, match="canary"):
        fingerprints_of(decision(canary, (fingerprint(0),)), ListKind.ALLOW)
