"""Earlier decisions, decided again by another policy over the recorded scores: what would have been different?

Recorded scores do not always suffice, and that is counted and told: a prompt may never have been scored, a score may
have outlived its retention, and a database records cosines in half precision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from serve_app.domain import Decision, Judged, LabelScores, PolicyError, Verdict
from serve_app.policy.concepts import ScoreKind
from serve_app.policy.evaluation import evaluate, margins_of
from serve_app.policy.schema import Policy

_HALF_STEP = 2.0**-11
"""The relative error of a number that was rounded to float16, at most."""


@dataclass(frozen=True, slots=True)
class ReplayedDecision:
    """A decision that the new policy makes otherwise.

    ``margin`` is that of the new policy. ``is_certain`` unless the rounding of the recorded scores alone could be the
    difference.
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
    is_certain: bool


@dataclass(slots=True)
class Replay:
    """What ``policy`` would have decided.

    ``replayed`` decisions were decided again; ``differences`` are those with another verdict. The others could not be:
    ``not_judged`` were unscanned, or decided by a list; of ``forgotten`` ones the scores are not recorded any more;
    ``other_model`` ones were scored by a model that is not the policy's; of ``insufficient`` ones a prompt of the
    policy was never scored: ``missing_prompts`` says which, and on how many decisions.
    """

    policy: Policy
    replayed: int = 0
    differences: list[ReplayedDecision] = field(default_factory=list)
    not_judged: int = 0
    forgotten: int = 0
    other_model: int = 0
    insufficient: int = 0
    missing_prompts: Counter[str] = field(default_factory=Counter)

    @property
    def changes(self) -> Mapping[tuple[Verdict, Verdict], int]:
        """How many decisions go from which verdict to which."""
        return Counter((each.verdict, each.new_verdict) for each in self.differences)

    def add(self, decision: Decision) -> None:
        """Decide one more decision again; it has its examination, as far as that is recorded."""
        if not isinstance(decision.outcome, Judged):
            self.not_judged += 1
            return
        if decision.examination is None:
            self.forgotten += 1
            return
        recorded = decision.examination.scores
        if not _is_for(self.policy, recorded):
            self.other_model += 1
            return
        scores = recorded.picked(decision.labels, self.policy.labels)
        if scores is None:
            self.insufficient += 1
            self.missing_prompts.update(set(self.policy.labels).difference(decision.labels))
            return
        self.replayed += 1
        judgement = evaluate(self.policy, scores)
        if judgement.verdict is decision.outcome.judgement.verdict:
            return
        self.differences.append(
            ReplayedDecision(
                request_id=decision.request_id,
                decided_at=decision.decided_at,
                sha256=decision.sha256,
                source=decision.source,
                verdict=decision.outcome.judgement.verdict,
                rule=decision.outcome.judgement.rule,
                new_verdict=judgement.verdict,
                new_rule=judgement.rule,
                margin=judgement.margin,
                is_certain=_is_certain(self.policy, scores),
            )
        )


def replay(policy: Policy, decisions: Iterable[Decision]) -> Replay:
    """Decide recorded decisions again: those of one page, or of a few. :meth:`Replay.add` takes one after the other."""
    result = Replay(policy)
    for decision in decisions:
        result.add(decision)
    return result


def _is_for(policy: Policy, scores: LabelScores) -> bool:
    try:
        policy.require_model(scores.model)
    except PolicyError:
        return False
    return True


def _is_certain(policy: Policy, scores: LabelScores) -> bool:
    """Whether no rule is so near to its line that the rounding of the recorded scores decides.

    A margin is an order statistic of signed distances, so it moves by no more than the score that moves most.
    """
    error = _largest_error(policy, scores)
    return all(abs(float(margins.max())) > error for margins in margins_of(policy, scores).rules.values())


def _largest_error(policy: Policy, scores: LabelScores) -> float:
    """How far a concept's score may be from the one at the time, at most."""
    if not np.array_equal(scores.cosines, scores.cosines.astype(np.float16)):
        return 0.0  # they are recorded as they were
    cosine = float(np.abs(scores.cosines).max()) * _HALF_STEP
    if policy.cosine_decimals is not None:
        cosine += 10.0**-policy.cosine_decimals  # the nearest decimal may be the next one
    # The slope of a logistic curve is a quarter at most, and its argument, a difference of two logits, moves by twice
    # the error of a cosine.
    contrast = 0.25 * scores.logit_scale * 2 * cosine
    kinds = {concept.score for concept in policy.concepts}
    return max(contrast if ScoreKind.CONTRAST in kinds else 0.0, cosine)
