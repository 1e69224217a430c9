"""Outcomes and decisions: the answer for a picture, and the reason for it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from serve_app.domain.call import RESCAN_SOURCE, UNNAMED_SOURCE, Lane
from serve_app.domain.canary import CANARY_BANK
from serve_app.domain.examination import Examination, ModelIdentity
from serve_app.domain.fingerprints import FrameFingerprint
from serve_app.domain.media import ViewPlace
from serve_app.domain.verdicts import UnscannedReason, Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """The policy's verdict on one picture, and its explanation.

    ``view`` indexes the deciding view; ``scores`` are that view's concept scores, None where one is unknown;
    ``margin`` is how far the view is over the line of the deciding rule (negative when no rule held), None where that
    is unknown.
    """

    verdict: Verdict
    rule: str | None
    message: str
    view: int
    scores: Mapping[str, float | None]
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


class ListMatch(enum.StrEnum):
    """How a picture is known: by all of its bytes, or by what one of its frames looks like."""

    EXACT = "exact"
    PERCEPTUAL = "perceptual"


@dataclass(frozen=True, slots=True)
class Listed:
    """An outcome: the picture is known, and an entry of a list decided in place of the policy.

    ``bank`` names the list, ``entry`` identifies the entry in it, and ``message`` gives people the entry's reason.
    Of a perceptual match, ``distance_bits`` is the Hamming distance between the entry and the fingerprint of ``frame``,
    ``media_type`` the type of the picture, which was decoded for it, and ``is_truncated`` as in :class:`Judged`; None
    where nothing was decoded, or where earlier versions recorded the decision.
    """

    verdict: Verdict
    bank: str
    entry: str
    message: str
    match: ListMatch = ListMatch.EXACT
    distance_bits: int | None = None
    frame: int | None = None
    media_type: str | None = None
    is_truncated: bool | None = None


@dataclass(frozen=True, slots=True)
class Unscanned:
    """An outcome: the picture was not scanned. ``detail`` tells people more than the reason does."""

    reason: UnscannedReason
    detail: str


Outcome = Judged | Listed | Unscanned


@dataclass(frozen=True, slots=True)
class ShadowJudgement:
    """Another verdict on the same scores, by a policy on trial. ``rule`` and ``margin`` as in :class:`Judgement`."""

    verdict: Verdict
    rule: str | None
    margin: float | None
    policy: str
    policy_digest: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one body of bytes, and the reason for it: immutable, recorded, and free of picture content.

    ``request_id`` is the decision's id. ``kept`` says whether the image server was told to store the picture; in the
    background ``lane``, no image server has asked.
    ``examination`` is what was seen, None where the picture was not scanned or its bytes are listed; ``labels`` name
    the columns of its scores. ``lists_version`` is that of the lists that were asked;
    ``shadow_matches`` is what their shadow banks would have decided. ``shadow_judgement`` is that of the policy on
    trial, where its verdict is another one. ``worker`` names the worker elsewhere that scored the picture, also where
    its scores were recalled; None where an engine of the service's own did, or nothing was scored.
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
    lane: Lane = Lane.LIVE
    # Two decisions are equal whatever of the examination is still recorded; and arrays have no one answer to ==.
    examination: Examination | None = field(default=None, repr=False, compare=False)
    labels: tuple[str, ...] = field(default=(), repr=False, compare=False)
    lists_version: int = 0
    shadow_matches: tuple[Listed, ...] = ()
    shadow_judgement: ShadowJudgement | None = None
    worker: str | None = None

    @property
    def fingerprints(self) -> tuple[FrameFingerprint, ...]:
        """Those of what was seen."""
        return self.examination.fingerprints if self.examination else ()

    @property
    def reason(self) -> str:
        """``policy``, ``listed``, or why the picture was not scanned."""
        match self.outcome:
            case Judged():
                return "policy"
            case Listed():
                return "listed"
            case Unscanned(reason=reason):
                return reason.value

    @property
    def verdict(self) -> Verdict | None:
        """The verdict of the policy or of a list; None where the picture was not scanned."""
        match self.outcome:
            case Judged(judgement=judgement):
                return judgement.verdict
            case Listed(verdict=verdict):
                return verdict
            case Unscanned():
                return None

    @property
    def rule(self) -> str | None:
        """The rule of the policy that decided, if one held."""
        return self.outcome.judgement.rule if isinstance(self.outcome, Judged) else None

    @property
    def is_canary(self) -> bool:
        """Whether it is about the canary, Pictwarden's test picture: such decisions count in no statistic."""
        return isinstance(self.outcome, Listed) and self.outcome.bank == CANARY_BANK

    @property
    def is_pending(self) -> bool:
        """Whether the image server may store a picture that nobody has scanned to its end: it must be scanned later."""
        if self.lane is not Lane.LIVE or not self.kept:
            return False
        match self.outcome:
            case Judged(is_truncated=is_truncated):
                return is_truncated
            case Listed():
                return False
            case Unscanned():
                return True

    @property
    def is_of_image_server(self) -> bool:
        """Whether the picture is an image server's, which waits for the answer, or stores it while it is scanned again.

        Other pictures in the background lane are the caller's own, lie in a store that is scanned, or are about to be
        denied by an admin.
        """
        return self.lane is Lane.LIVE or self.source == RESCAN_SOURCE


@dataclass(frozen=True, slots=True)
class Recollection:
    """What is recorded of a body of bytes: its examination by one model.

    ``labels`` name the columns of its scores. ``judged`` is the latest judgement of it, by the policy with
    ``policy_digest``; both are None where no policy has judged it, or that is forgotten.
    """

    examination: Examination
    labels: tuple[str, ...]
    judged: Judged | None = None
    policy_digest: str | None = None
