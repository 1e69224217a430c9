"""Decisions whose pictures the tests put on lists."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from serve_app.domain import (
    DIHEDRAL_HASHES,
    PDQ_BYTES,
    Body,
    Call,
    Decision,
    Examination,
    FrameFingerprint,
    Judged,
    Judgement,
    LabelScores,
    ModelIdentity,
    Outcome,
    Verdict,
    ViewPlace,
)

PDQ = bytes(range(PDQ_BYTES))
MODEL = ModelIdentity("demo", "a" * 64, 224)
PLACE = ViewPlace(0, (0.0, 0.0, 1.0, 1.0))
REJECTED = Judged(
    Judgement(Verdict.REJECT, "triangles", "red triangles are refused", 0, {"triangle": 0.31}, 0.04),
    PLACE,
    "image/png",
    views_seen=1,
    frames_seen=1,
    frames_total=1,
)


def decision(request_id: str, body: bytes, outcome: Outcome = REJECTED, *, kept: bool = False) -> Decision:
    """A decision on ``body``; a judged one has a PDQ."""
    examination = None
    if isinstance(outcome, Judged):
        seen = FrameFingerprint(0, 90, PDQ + bytes((DIHEDRAL_HASHES - 1) * PDQ_BYTES))
        scores = LabelScores(np.zeros((1, 1), np.float32), 100.0, MODEL)
        examination = Examination(scores, (PLACE,), "image/png", 1, 1, fingerprints=(seen,))
    return Decision(
        request_id,
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        hashlib.sha256(body).hexdigest(),
        len(body),
        outcome,
        kept,
        MODEL,
        "colours",
        "c" * 64,
        12.5,
        examination=examination,
        labels=("red",) if examination else (),
    )


async def reject(body: Body, call: Call, by_terms_of: str | None) -> Decision:
    """Moderates: everything is rejected."""
    return replace(decision(call.request_id, body.content), source=call.source)
