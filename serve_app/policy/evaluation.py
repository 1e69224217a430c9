"""Label scores to a judgement: pure, and vectorised over the views of one picture.

Every condition becomes one signed *margin* per view, the distance over its line, and it holds exactly where its margin
is more than zero. So the explanation (how far over the line) and the decision can never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import Judgement, LabelScores, UnavailableError, Verdict
from serve_app.policy.concepts import Concept, ScoreKind
from serve_app.policy.conditions import Above, AllOf, AnyOf, AtLeast, Condition, Named, Not
from serve_app.policy.schema import Policy, Rule

FloatArray = NDArray[np.float64]

_LEAST_MARGIN = float(np.finfo(np.float64).tiny)
"""The margin of a negation exactly on its line, where the condition itself does not hold: the least above zero."""


def evaluate(policy: Policy, label_scores: LabelScores) -> Judgement:
    """Judge one picture: the verdict is that of its worst view.

    The first of the most severe rules that hold on any view decides, on the view where its margin is largest (the
    first of equal ones). When none holds, the picture is accepted, and the message, the view and the margin (zero or
    less) tell which of the most severe rules came closest, where, and how close.

    Raises:
        UnavailableError: a label score or the logit scale is not finite: a model that returns nan did not scan.
        ValueError: the label scores are not (views, labels of this policy), or there is no view.
    """
    made_of = margins_of(policy, label_scores)
    margins = np.stack(list(made_of.rules.values()))
    deciding = _deciding_rule(policy.rules, margins)
    explained = deciding if deciding is not None else _closest_rule(policy.rules, margins)
    view = int(margins[explained].argmax())
    rule = policy.rules[explained]
    held = deciding is not None
    return Judgement(
        verdict=rule.verdict if held else Verdict.ACCEPT,
        rule=rule.name if held else None,
        message=rule.explanation if held else f"no rule of {policy.name} holds; '{rule.name}' came closest",
        view=view,
        scores={name: float(scores[view]) for name, scores in made_of.concepts.items()},
        margin=float(margins[explained, view]),
    )


@dataclass(frozen=True, slots=True)
class Margins:
    """The scores and margins that a judgement is made of, by name and for every view.

    ``concepts`` are scores; ``conditions`` (the named ones) and ``rules`` are margins: they hold where these are more
    than zero. All are float64, ``(views,)``.
    """

    concepts: Mapping[str, FloatArray]
    conditions: Mapping[str, FloatArray]
    rules: Mapping[str, FloatArray]
    _scored: _Scored = field(repr=False)

    def of(self, condition: Condition) -> FloatArray:
        """The margins of any condition over the policy's concepts."""
        return self._scored.margins(condition)


def margins_of(policy: Policy, label_scores: LabelScores) -> Margins:
    """All that a judgement is made of.

    Raises:
        UnavailableError: as :func:`evaluate`.
        ValueError: as :func:`evaluate`.
    """
    scored = _scored(policy, label_scores)
    concepts = {name: ranked[:, 0] for name, ranked in scored.concepts.items()}
    rules = {rule.name: scored.margins(rule.when) for rule in policy.rules}
    return Margins(concepts, scored.conditions, rules, scored)


def concept_scores(policy: Policy, label_scores: LabelScores) -> FloatArray:
    """The score of every view for every concept: float64, ``(views, concepts)``, columns in the order of the policy.

    Raises:
        UnavailableError: a label score or the logit scale is not finite, or the logit scale is not positive.
        ValueError: the label scores are not (views, labels of this policy), or there is no view.
    """
    return np.stack(list(margins_of(policy, label_scores).concepts.values()), axis=1)


@dataclass(frozen=True, slots=True)
class _Scored:
    """The scores of one picture's views.

    ``concepts`` has the scores of each concept's prompts, largest first, ``(views, prompts)``: the first column is the
    concept's own. A contrast score is one number for all prompts. ``conditions`` has the margins of the named
    conditions, ``(views,)``.
    """

    concepts: Mapping[str, FloatArray]
    conditions: dict[str, FloatArray] = field(default_factory=dict)

    def margins(self, condition: Condition) -> FloatArray:
        """How far over its line the condition is on each view, ``(views,)``: it holds where this is more than zero."""
        match condition:
            case Above(concept, threshold, count):
                over: FloatArray = self.concepts[concept][:, count - 1] - threshold
                return over
            case AllOf(of):
                return self._nth_largest(len(of), of)
            case AnyOf(of):
                return self._nth_largest(1, of)
            case AtLeast(count, of):
                return self._nth_largest(count, of)
            case Not(of):
                margins = self.margins(of)
                return np.where(margins == 0, _LEAST_MARGIN, -margins)
            case Named(name):
                return self.conditions[name]
            case _:
                assert_never(condition)

    def _nth_largest(self, n: int, conditions: tuple[Condition, ...]) -> FloatArray:
        """The n-th largest margin on each view: it is more than zero exactly where n conditions hold or more."""
        margins = np.stack([self.margins(condition) for condition in conditions])
        nth: FloatArray = np.sort(margins, axis=0)[-n]
        return nth


def _scored(policy: Policy, label_scores: LabelScores) -> _Scored:
    values = _checked_values(policy, label_scores)
    columns = {label: column for column, label in enumerate(policy.labels)}
    scored = _Scored(
        {each.name: _ranked_scores(each, values, columns, label_scores.logit_scale) for each in policy.concepts}
    )
    for each in policy.conditions:  # in the order of the file: each is made of those before it
        scored.conditions[each.name] = scored.margins(each.when)
    return scored


def _checked_values(policy: Policy, label_scores: LabelScores) -> FloatArray:
    values = np.asarray(label_scores.values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(policy.labels):
        raise ValueError(f"label scores have the shape {values.shape}; {policy} needs (views, {len(policy.labels)})")
    if values.shape[0] == 0:
        raise ValueError("there is no view to judge")
    if not np.isfinite(values).all():
        raise UnavailableError(f"the model {label_scores.model} returned a similarity that is not a finite number")
    if not (np.isfinite(label_scores.logit_scale) and label_scores.logit_scale > 0):
        raise UnavailableError(f"the model {label_scores.model} has a logit scale that is not a positive number")
    # The product of a float32 and a power of ten is exact in float64, so that this rounds as Python's round() does.
    return values if policy.cosine_decimals is None else values.round(policy.cosine_decimals)


def _ranked_scores(concept: Concept, values: FloatArray, columns: Mapping[str, int], logit_scale: float) -> FloatArray:
    """The scores of the concept's prompts on each view, largest first, ``(views, prompts)``."""
    # take() copies to rows that are contiguous, so that a view's sums do not depend on how many views stand beside it.
    own = values.take([columns[prompt] for prompt in concept.prompts], axis=1)
    match concept.score:
        case ScoreKind.COSINE:
            return _largest_first(own)
        case ScoreKind.MARGIN:
            return _largest_first(_over_thresholds(own, concept.thresholds))
        case ScoreKind.CONTRAST:
            others = values.take([columns[prompt] for prompt in concept.counter_prompts], axis=1)
            return _contrast(own, others, logit_scale)[:, np.newaxis]
        case _:
            assert_never(concept.score)


def _over_thresholds(own: FloatArray, thresholds: tuple[tuple[float, ...], ...]) -> FloatArray:
    """How far the best wording of each prompt is over its threshold, ``(views, prompts)``."""
    starts = np.cumsum([0, *(len(wordings) for wordings in thresholds[:-1])])
    over = own - [threshold for wordings in thresholds for threshold in wordings]
    best: FloatArray = np.maximum.reduceat(over, starts, axis=1)
    return best


def _largest_first(scores: FloatArray) -> FloatArray:
    return np.sort(scores, axis=1)[:, ::-1]


def _contrast(own: FloatArray, others: FloatArray, logit_scale: float) -> FloatArray:
    """The share of ``own`` in softmax(logit_scale * cosines) over both, in 0..1.

    Zero-shot classification as in Radford et al. 2021 (arXiv:2103.00020, section 3.1), with the probabilities of the
    concept's prompts added up.
    """
    # The largest is subtracted before the exponential, which would overflow otherwise; the quotient stays the same.
    largest = np.maximum(_largest(own), _largest(others))[:, np.newaxis]
    own_mass: FloatArray = np.exp(logit_scale * (own - largest)).sum(axis=1)
    other_mass: FloatArray = np.exp(logit_scale * (others - largest)).sum(axis=1)
    return own_mass / (own_mass + other_mass)


def _largest(values: FloatArray) -> FloatArray:
    """The largest of each row."""
    largest: FloatArray = values.max(axis=1)
    return largest


def _deciding_rule(rules: tuple[Rule, ...], margins: FloatArray) -> int | None:
    """The first of the most severe rules that hold on any view; ``margins`` is ``(rules, views)``."""
    holding = [index for index in range(len(rules)) if margins[index].max() > 0]
    return max(holding, key=lambda index: rules[index].verdict.severity, default=None)  # max() keeps the first


def _closest_rule(rules: tuple[Rule, ...], margins: FloatArray) -> int:
    """Of the most severe rules that there are, the one that came closest to holding."""
    return max(range(len(rules)), key=lambda index: (rules[index].verdict.severity, margins[index].max()))
