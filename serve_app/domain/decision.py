"""What we answered for a picture, and why."""

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
    """What the policy says of one picture, with what it takes to explain it.

    ``view`` indexes the deciding view; ``scores`` are that view's concept scores; ``margin`` is how far its score lies
    over the line of the rule that decided (under it, so negative, when no rule held).
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
    """An outcome: the picture is a known one, and an entry of a list decided in place of the policy.

    ``bank`` is the list's name, ``entry`` identifies the entry in it, ``message`` is its reason for people.
    """

    verdict: Verdict
    bank: str
    entry: str
    message: str


@dataclass(frozen=True, slots=True)
class Unscanned:
    """An outcome: the picture was not scanned. ``detail`` says more than the reason, for people."""

    reason: UnscannedReason
    detail: str


Outcome = Judged | Listed | Unscanned


@dataclass(frozen=True, slots=True)
class Decision:
    """What we answered for one body of bytes, and why: immutable, recorded, and free of any picture content.

    ``kept`` is what the image server was told.
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
        """Whether the image server stored what was not scanned to its end, so that somebody has to scan it later."""
        match self.outcome:
            case Judged(is_truncated=is_truncated):
                return self.kept and is_truncated
            case Listed():
                return False
            case Unscanned():
                return self.kept
