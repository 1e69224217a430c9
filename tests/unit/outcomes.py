"""An outcome of each kind, for tests of what is shown of decisions."""

from __future__ import annotations

from serve_app.domain import Judged, Judgement, Listed, ListMatch, Unscanned, UnscannedReason, Verdict, ViewPlace

REJECTED = Judged(
    Judgement(Verdict.REJECT, "triangles", "red triangles are refused", 0, {"triangle": 0.31}, 0.04),
    ViewPlace(3, (0.0, 0.25, 0.5, 1.0)),
    "image/gif",
    views_seen=2,
    frames_seen=2,
    frames_total=90,
)
LISTED = Listed(Verdict.REJECT, "spam", "entry-7", "seen before", ListMatch.PERCEPTUAL, 12, 3)
LET_THROUGH = Unscanned(UnscannedReason.OVERLOADED, "no time was left")
