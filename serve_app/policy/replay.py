"""Earlier decisions, decided again by another policy over the recorded scores: what would have been different?

Recorded scores do not always suffice, and that is counted and told.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from serve_app.domain import Decision, Judged, Judgement, LabelScores, Verdict, ViewPlace
from serve_app.policy.recorded import Insufficient, RecordedJudgement, judge_recorded
from serve_app.policy.schema import Policy


@dataclass(frozen=True, slots=True)
class ScoredDecision:
    """What a replay needs of a recorded decision.

    ``is_judged`` if the policy decided; ``verdict`` is None where the picture was not scanned. ``scores`` are None
    where they are not recorded; ``labels`` name their columns, and ``places`` their rows.
    """

    request_id: str
    decided_at: datetime
    sha256: str
    source: str
    is_judged: bool
    verdict: Verdict | None
    rule: str | None
    scores: LabelScores | None
    labels: tuple[str, ...] = ()
    places: tuple[ViewPlace, ...] = ()

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """That of ``decision``, which has its examination as far as that is recorded."""
        examination = decision.examination
        return cls(
            decision.request_id,
            decision.decided_at,
            decision.sha256,
            decision.source,
            isinstance(decision.outcome, Judged),
            decision.verdict,
            decision.rule,
            examination.scores if examination else None,
            decision.labels,
            examination.places if examination else (),
        )


class Change(enum.StrEnum):
    """How the new policy's verdict compares with the recorded one."""

    SAME = "same"
    STRICTER = "stricter"
    LOOSER = "looser"
    UNCERTAIN = "uncertain"
    """A rule is so near to its line that the rounding of the recorded scores may decide."""


@dataclass(frozen=True, slots=True)
class ReplayedDecision:
    """A decision to which the new policy gives another verdict.

    ``margin`` is that of the new policy, on the view at ``place``. ``is_certain`` unless the rounding of the recorded
    scores alone could be the difference.
    """

    request_id: str
    decided_at: datetime
    sha256: str
    source: str
    verdict: Verdict
    rule: str | None
    new_verdict: Verdict
    new_rule: str | None
    margin: float | None
    place: ViewPlace
    is_certain: bool


@dataclass(slots=True)
class Replay:
    """What ``policy`` would have decided.

    ``changes`` counts the decisions that were made again, by rule and by change: by the recorded rule where the new
    verdict is milder, else by the new one; None where no rule held. ``differences`` are those with another verdict.

    The others could not be decided again: ``not_judged`` were unscanned, or decided by a list; of ``forgotten`` ones
    the scores are not recorded any more; ``other_model`` ones were scored by a model that is not the policy's; of
    ``insufficient`` ones a label of the policy was never scored: ``missing_labels`` says which, and on how many.
    ``notices`` are those of the models that scored.
    """

    policy: Policy
    changes: Counter[tuple[str | None, Change]] = field(default_factory=Counter)
    differences: list[ReplayedDecision] = field(default_factory=list)
    not_judged: int = 0
    forgotten: int = 0
    other_model: int = 0
    insufficient: int = 0
    missing_labels: Counter[str] = field(default_factory=Counter)
    notices: set[str] = field(default_factory=set)

    @property
    def replayed(self) -> int:
        """How many were decided again."""
        return self.changes.total()

    @property
    def not_replayed(self) -> int:
        """How many could not be decided again."""
        return self.not_judged + self.forgotten + self.other_model + self.insufficient

    def add(self, decision: ScoredDecision) -> None:
        """Decide one more decision again."""
        if not decision.is_judged or decision.verdict is None:
            self.not_judged += 1
            return
        judged = judge_recorded(self.policy, decision.scores, decision.labels)
        match judged:
            case Insufficient.FORGOTTEN:
                self.forgotten += 1
            case Insufficient.OTHER_MODEL:
                self.other_model += 1
            case Insufficient.MISSING_LABELS:
                self.insufficient += 1
                self.missing_labels.update(set(self.policy.labels).difference(decision.labels))
            case RecordedJudgement():
                self.notices.update(decision.scores.model.notices if decision.scores is not None else ())
                self._decide(decision, decision.verdict, judged)

    def _decide(self, decision: ScoredDecision, verdict: Verdict, again: RecordedJudgement) -> None:
        judgement, is_certain = again.judgement, again.is_certain
        is_milder = judgement.verdict.severity < verdict.severity
        change = _change(verdict, judgement) if is_certain else Change.UNCERTAIN
        self.changes[decision.rule if is_milder else judgement.rule, change] += 1
        if judgement.verdict is verdict:
            return
        self.differences.append(
            ReplayedDecision(
                request_id=decision.request_id,
                decided_at=decision.decided_at,
                sha256=decision.sha256,
                source=decision.source,
                verdict=verdict,
                rule=decision.rule,
                new_verdict=judgement.verdict,
                new_rule=judgement.rule,
                margin=judgement.margin,
                place=decision.places[judgement.view],
                is_certain=is_certain,
            )
        )


def _change(verdict: Verdict, judgement: Judgement) -> Change:
    if judgement.verdict is verdict:
        return Change.SAME
    return Change.STRICTER if judgement.verdict.severity > verdict.severity else Change.LOOSER
