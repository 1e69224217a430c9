"""A policy over recorded scores: its judgement, or why these scores do not suffice for one.

A prompt may never have been scored, another model may have scored, and a database records cosines in half precision.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import Judgement, LabelScores, ModelIdentity, PolicyError, Verdict
from serve_app.policy.evaluation import evaluate, margins_of, views_reaching
from serve_app.policy.rounding import most_rounding_errors, rounding_errors
from serve_app.policy.schema import Policy, Rule


class Insufficient(enum.StrEnum):
    """Why recorded scores cannot be judged."""

    FORGOTTEN = "forgotten"
    """They are not recorded any more."""
    OTHER_MODEL = "other_model"
    """They are of another model than the policy's."""
    MISSING_LABELS = "missing_labels"
    """A label of the policy was never scored."""


@dataclass(frozen=True, slots=True)
class RecordedJudgement:
    """A judgement of recorded scores, and how far their rounding may have changed it.

    ``is_certain`` unless a rule is so near to its line that the rounding decides about it. ``mildest`` and ``severest``
    are the verdicts that the scores at the time may have had.
    """

    judgement: Judgement
    is_certain: bool
    mildest: Verdict
    severest: Verdict


def insufficiency_of(policy: Policy, model: ModelIdentity, labels: Sequence[str]) -> Insufficient | None:
    """Why scores of these labels by this model cannot be judged by ``policy``; None if they can."""
    try:
        policy.require_model(model)
    except PolicyError:
        return Insufficient.OTHER_MODEL
    return None if set(labels) >= set(policy.labels) else Insufficient.MISSING_LABELS


def judge_recorded(
    policy: Policy, scores: LabelScores | None, labels: Sequence[str]
) -> RecordedJudgement | Insufficient:
    """The judgement of ``policy`` over scores whose columns are ``labels``, or why there is none."""
    if scores is None:
        return Insufficient.FORGOTTEN
    reason = insufficiency_of(policy, scores.model, labels)
    if reason is not None:
        return reason
    picked = scores.picked(labels, policy.labels)
    if picked is None:
        return Insufficient.MISSING_LABELS
    errors, made_of = rounding_errors(policy, picked), margins_of(policy, picked)
    margins = [(rule, float(made_of.least_of(rule.when).max()), errors[rule.name]) for rule in policy.rules]
    return RecordedJudgement(
        evaluate(policy, picked),
        is_certain=all(abs(margin) > error for _, margin, error in margins),
        mildest=_severest(rule for rule, margin, error in margins if margin > error),
        severest=_severest(rule for rule, margin, error in margins if margin >= -error),
    )


def may_reject(
    policy: Policy, scores: LabelScores, labels: Sequence[str], firsts: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Of many bodies at once, those that ``policy`` may reject: ask :func:`judge_recorded` about each.

    Args:
        policy: that can judge these scores (:func:`insufficiency_of`).
        scores: as recorded, of all views of all bodies; those of a body follow each other.
        labels: the columns of the scores.
        firsts: the first row of each body.

    Returns:
        Indices of bodies, in order.
    """
    picked = scores.picked(labels, policy.labels)
    if picked is None:
        raise ValueError("these scores lack a label of the policy")
    errors = most_rounding_errors(policy, picked)
    near = np.zeros(len(picked.values), dtype=np.bool_)
    for rule in policy.rules:
        if rule.verdict is Verdict.REJECT:
            near[views_reaching(policy, picked, rule.when, -errors[rule.name])] = True
    return np.logical_or.reduceat(near, firsts).nonzero()[0]


def _severest(rules: Iterable[Rule]) -> Verdict:
    return max((rule.verdict for rule in rules), key=lambda verdict: verdict.severity, default=Verdict.ACCEPT)
