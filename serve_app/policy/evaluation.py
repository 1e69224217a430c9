"""Label scores to a judgement: pure, and vectorised over the views of one picture.

Every condition becomes one signed *margin* per view, the distance over its line, and it holds exactly where its margin
is more than zero. So the explanation (how far over the line) and the decision can never disagree.

A score can be *unknown* (NaN): a classifier found nothing to look at. A margin is therefore a pair, the least and the
most that it can be whatever the unknown scores are. A condition holds where the least is more than zero, and certainly
does not where the most is not; between, it is unknown, and neither it nor its negation holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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
    less) tell which of the most severe rules came closest, where, and how close. If all of these are unknown on every
    view, the margin is None.

    Raises:
        UnavailableError: a cosine or the logit scale is not finite, or a classifier's output is infinite: a model that
            returns no number did not scan.
        ValueError: the label scores are not (views, labels of this policy), or there is no view.
    """
    made_of = margins_of(policy, label_scores)
    margins = ranked(np.stack(list(made_of.rules.values())))
    deciding = _deciding_rule(policy.rules, margins)
    explained = deciding if deciding is not None else _closest_rule(policy.rules, margins)
    view = int(margins[explained].argmax())
    rule = policy.rules[explained]
    margin = known(made_of.rules[rule.name][view])
    if deciding is not None:
        message = rule.explanation
    elif margin is not None:
        message = f"no rule of {policy.name} holds; '{rule.name}' came closest"
    else:
        message = f"no rule of {policy.name} holds; '{rule.name}' is undecided, since a score of it is unknown"
    return Judgement(
        verdict=rule.verdict if deciding is not None else Verdict.ACCEPT,
        rule=rule.name if deciding is not None else None,
        message=message,
        view=view,
        scores={name: known(scores[view]) for name, scores in made_of.concepts.items()},
        margin=margin,
    )


def known(number: np.float64) -> float | None:
    """A score or a margin as a plain number; None where it is unknown."""
    return None if np.isnan(number) else float(number)


def ranked(margins: FloatArray) -> FloatArray:
    """Margins of which the largest can be taken: an unknown one is below all others."""
    return np.where(np.isnan(margins), -np.inf, margins)


@dataclass(frozen=True, slots=True)
class Margins:
    """The scores and margins that a judgement is made of, by name and for every view.

    ``concepts`` are scores; ``conditions`` (the named ones) and ``rules`` are margins: they hold where these are more
    than zero. Where something is unknown, a margin is the bound that is certain; NaN where none tells whether the
    condition holds. All are float64, ``(views,)``.
    """

    concepts: Mapping[str, FloatArray]
    conditions: Mapping[str, FloatArray]
    rules: Mapping[str, FloatArray]
    _scored: _Scored = field(repr=False)

    def of(self, condition: Condition) -> FloatArray:
        """The margins of any condition over the policy's concepts."""
        return _told(self._scored.bounds(condition))

    def least_of(self, condition: Condition) -> FloatArray:
        """The margins that are certain to be reached: minus infinity where an unknown score leaves none."""
        least: FloatArray = self._scored.bounds(condition)[0]
        return least


def margins_of(policy: Policy, label_scores: LabelScores) -> Margins:
    """All that a judgement is made of.

    Raises:
        UnavailableError: as :func:`evaluate`.
        ValueError: as :func:`evaluate`.
    """
    values = _checked_values(policy, label_scores)
    scored = _scored(policy, values, label_scores.logit_scale, [each.name for each in policy.concepts])
    scores = {name: least[:, 0] for name, (least, _) in scored.concepts.items()}
    concepts = {name: np.where(np.isinf(each), np.nan, each) for name, each in scores.items()}
    conditions = {name: _told(bounds) for name, bounds in scored.conditions.items()}
    rules = {rule.name: _told(scored.bounds(rule.when)) for rule in policy.rules}
    return Margins(concepts, conditions, rules, scored)


def views_reaching(policy: Policy, label_scores: LabelScores, condition: Condition, least: float) -> NDArray[np.intp]:
    """Those on which the margin of ``condition`` is certain to be ``least`` or more: as by :meth:`Margins.least_of`.

    Of conditions that must all hold, a later one is asked about the views that the earlier ones leave: for many views,
    of which few are left, it takes half of the time.

    Returns:
        Indices of views, in order.

    Raises:
        UnavailableError: as :func:`evaluate`.
        ValueError: as :func:`evaluate`.
    """
    values = _checked_values(policy, label_scores)
    views = np.arange(len(values))
    named = {each.name: each.when for each in policy.conditions}
    for each in _all_of(condition, named):
        left = values if len(views) == len(values) else values[views]
        scored = _scored(policy, left, label_scores.logit_scale, _concepts_of(each, named))
        views = views[scored.bounds(each)[0] >= least]
        if not len(views):
            break
    return views


def _all_of(condition: Condition, named: Mapping[str, Condition]) -> Iterator[Condition]:
    """The conditions that must all hold for this one; those by name are written out."""
    match condition:
        case AllOf(of):
            for each in of:
                yield from _all_of(each, named)
        case Named(name):
            yield from _all_of(named[name], named)
        case _:
            yield condition


def _concepts_of(condition: Condition, named: Mapping[str, Condition]) -> frozenset[str]:
    """The names of the concepts that it is made of."""
    match condition:
        case Above(concept):
            return frozenset({concept})
        case AllOf(of) | AnyOf(of) | AtLeast(_, of):
            return frozenset().union(*(_concepts_of(each, named) for each in of))
        case Not(of):
            return _concepts_of(of, named)
        case Named(name):
            return _concepts_of(named[name], named)
        case _:
            assert_never(condition)


def concept_scores(policy: Policy, label_scores: LabelScores) -> FloatArray:
    """The score of every view for every concept: float64, ``(views, concepts)``, columns in the order of the policy.

    Raises:
        UnavailableError: a label score or the logit scale is not finite, or the logit scale is not positive.
        ValueError: the label scores are not (views, labels of this policy), or there is no view.
    """
    return np.stack(list(margins_of(policy, label_scores).concepts.values()), axis=1)


@dataclass(frozen=True, slots=True)
class _Scored:
    """The scores of one picture's views, each as the least and the most that it can be.

    ``concepts`` has the scores of each concept's prompts, largest first, ``(2, views, prompts)``: the first column is
    the concept's own. A contrast score is one number for all prompts, and so is a classifier's: infinite both ways
    where it is unknown. ``conditions`` has the margins of the named conditions, ``(2, views)``.
    """

    concepts: Mapping[str, FloatArray]
    conditions: dict[str, FloatArray] = field(default_factory=dict)

    def bounds(self, condition: Condition) -> FloatArray:
        """How far over its line the condition is on each view, at least and at most, ``(2, views)``."""
        match condition:
            case Above(concept, threshold, count):
                over: FloatArray = self.concepts[concept][:, :, count - 1] - threshold
                return over
            case AllOf(of):
                return self._nth_largest(len(of), of)
            case AnyOf(of):
                return self._nth_largest(1, of)
            case AtLeast(count, of):
                return self._nth_largest(count, of)
            case Not(of):
                most_first = self.bounds(of)[::-1]
                return np.where(most_first == 0, _LEAST_MARGIN, -most_first)
            case Named(name):
                return self.conditions[name]
            case _:
                assert_never(condition)

    def _nth_largest(self, n: int, conditions: tuple[Condition, ...]) -> FloatArray:
        """The n-th largest margin on each view: it is more than zero exactly where n conditions hold or more."""
        bounds = np.stack([self.bounds(condition) for condition in conditions])
        # The ends without a sort, which takes several times as long.
        nth: FloatArray
        if n == 1:
            nth = bounds.max(axis=0)
        elif n == len(bounds):
            nth = bounds.min(axis=0)
        else:
            nth = np.sort(bounds, axis=0)[-n]
        return nth


def _scored(policy: Policy, values: NDArray[np.floating], logit_scale: float, names: Collection[str]) -> _Scored:
    """The concepts of these names, and the named conditions that are made of no others."""
    columns = {label: column for column, label in enumerate(policy.labels)}
    scored = _Scored(
        {
            each.name: _bounds_of(_ranked_scores(each, values, columns, logit_scale))
            for each in policy.concepts
            if each.name in names
        }
    )
    named = {each.name: each.when for each in policy.conditions}
    for each in policy.conditions:  # in the order of the file: each is made of those before it
        if _concepts_of(each.when, named).issubset(names):
            scored.conditions[each.name] = scored.bounds(each.when)
    return scored


def _told(bounds: FloatArray) -> FloatArray:
    """Of margins at least and at most, ``(2, views)``, the one that tells whether the condition holds; NaN if none."""
    least, most = bounds
    return np.where(least > 0, least, np.where(most <= 0, most, np.nan))


def _checked_values(policy: Policy, label_scores: LabelScores) -> NDArray[np.floating]:
    values: NDArray[np.floating] = np.asarray(label_scores.values)
    if values.ndim != 2 or values.shape[1] != len(policy.labels):
        raise ValueError(f"label scores have the shape {values.shape}; {policy} needs (views, {len(policy.labels)})")
    if values.shape[0] == 0:
        raise ValueError("there is no view to judge")
    prompts, of_embedding = len(policy.prompts), len(policy.prompts) + len(policy.heads)
    if not np.isfinite(values[:, :of_embedding]).all():
        raise UnavailableError(f"the model {label_scores.model} returned a similarity that is not a finite number")
    if np.isinf(values[:, of_embedding:]).any():
        raise UnavailableError(f"the model {label_scores.model} returned an output that is no probability")
    if not (np.isfinite(label_scores.logit_scale) and label_scores.logit_scale > 0):
        raise UnavailableError(f"the model {label_scores.model} has a logit scale that is not a positive number")
    # The product of a float32 and a power of ten is exact in float64, so that this rounds as Python's round() does.
    if policy.cosine_decimals is not None:
        values = np.array(values, dtype=np.float64)
        values[:, :prompts] = values[:, :prompts].round(policy.cosine_decimals)
    return values


def _ranked_scores(
    concept: Concept, values: NDArray[np.floating], columns: Mapping[str, int], logit_scale: float
) -> FloatArray:
    """The scores of the concept's prompts on each view, largest first, ``(views, prompts)``."""
    # take() copies to rows that are contiguous, so that a view's sums do not depend on how many views stand beside it.
    of_labels: FloatArray = values.take([columns[label] for label in concept.labels], axis=1).astype(
        np.float64, copy=False
    )
    own, others = np.split(of_labels, [len(concept.prompts)], axis=1)
    match concept.score:
        case ScoreKind.COSINE:
            return _largest_first(own)
        case ScoreKind.MARGIN:
            return _largest_first(_over_thresholds(own, concept.thresholds))
        case ScoreKind.CONTRAST:
            return _contrast(own, others, logit_scale)[:, np.newaxis]
        case ScoreKind.CLASSIFIER | ScoreKind.HEAD:
            return of_labels
        case _:
            assert_never(concept.score)


def _bounds_of(scores: FloatArray) -> FloatArray:
    """The least and the most that scores can be, ``(2, views, prompts)``: an unknown one can be anything."""
    unknown = np.isnan(scores)
    return np.stack([np.where(unknown, -np.inf, scores), np.where(unknown, np.inf, scores)])


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
    """The first of the most severe rules that hold on any view; ``margins`` is ``(rules, views)``, ranked."""
    holding = [index for index in range(len(rules)) if margins[index].max() > 0]
    return max(holding, key=lambda index: rules[index].verdict.severity, default=None)  # max() keeps the first


def _closest_rule(rules: tuple[Rule, ...], margins: FloatArray) -> int:
    """Of the most severe rules that there are, the one that came closest to holding."""
    return max(range(len(rules)), key=lambda index: (rules[index].verdict.severity, margins[index].max()))
