"""Outcomes and decisions: the answer for a picture, and the reason for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from serve_app.domain.call import UNNAMED_SOURCE
from serve_app.domain.examination import ModelIdentity
from serve_app.domain.media import ViewPlace
from serve_app.domain.verdicts import UnscannedReason, Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """The policy's verdict on one picture, and its explanation.

    ``view`` indexes the deciding view; ``scores`` are that view's concept scores; ``margin`` is how far the view is
    over the line of the deciding rule (negative when no rule held).
    """

    verdict: Verdict
    rule: str | None
    message: str
    view: int
    scores: Mapping[str, float]
    margin: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """An outcome: the picture was scanned, and the policy judged its scores.

    ``place`` is that of the deciding view. ``is_truncated`` as in :class:`~serve_app.domain.Examination`.
    """

    judgement: Judgement
    place: ViewPlace
    media_type: str
    views_seen: int
    frames_seen: int
    frames_total: int
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """An outcome: the picture is known, and an entry of a list decided in place of the policy.

    ``bank`` names the list, ``entry`` identifies the entry in it, and ``message`` gives people the entry's reason.
    """

    verdict: Verdict
    bank: str
    entry: str
    message: str


@dataclass(frozen=True, slots=True)
class Unscanned:
    """An outcome: the picture was not scanned. ``detail`` tells people more than the reason does."""

    reason: UnscannedReason
    detail: str


Outcome = Judged | Listed | Unscanned


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one body of bytes, and the reason for it: immutable, recorded, and free of picture content.

    ``kept`` says whether the image server was told to store the picture.
    """

    request_id: str
    decided_at: datetime
    sha256: str
    body_bytes: int
    outcome: Outcome
    kept: bool
    model: ModelIdentity
    policy: str
    policy_digest: str
    elapsed_ms: float
    source: str = UNNAMED_SOURCE

    @property
    def is_pending(self) -> bool:
        """Whether the image server may store a picture that nobody has scanned to its end: it must be scanned later."""
        match self.outcome:
            case Judged(is_truncated=is_truncated):
                return self.kept and is_truncated
            case Listed():
                return False
            case Unscanned():
                return self.kept
