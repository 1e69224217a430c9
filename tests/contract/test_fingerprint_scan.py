"""The fingerprints of every body are found, in each database, as its decisions have them."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from serve_app.database.location import Location
from serve_app.domain import FrameFingerprint
from serve_app.ledger import fingerprint_scan
from tests.contract.conftest import Made, patient_ledger


def frames_of(number: int) -> tuple[FrameFingerprint, ...]:
    """As many frames as ``number``; the last one is featureless."""
    return tuple(
        FrameFingerprint(frame, 49 if frame == number - 1 else 50, bytes([number, frame]) * 128)
        for frame in range(number)
    )


async def test_every_body_comes_once_with_the_frames_that_can_match(
    location: Location, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint_scan, "BODIES_AT_ONCE", 3)
    with contextlib.closing(patient_ledger(location)) as ledger:
        for number in range(8):
            decision = made.decision(number, sha256=f"{number}" * 64)
            assert decision.examination is not None
            seen = replace(decision.examination, fingerprints=frames_of(number))
            for again in (number, 100 + number):
                await ledger.record(replace(decision, request_id=f"r-{again}", examination=seen))
        database = ledger._database
        assert fingerprint_scan.count_bodies(database) == 7, "the first one has no frame"
        found = {}
        for part in fingerprint_scan.all_fingerprints(database):
            assert len(part.sha256) <= 3
            for body, sha256 in enumerate(part.sha256):
                found[sha256.tobytes().hex()] = part.hashes[part.bodies == body].tobytes()
    assert found == {
        f"{number}" * 64: b"".join(each.hashes for each in frames_of(number)[:-1]) for number in range(1, 8)
    }
