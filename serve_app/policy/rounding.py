"""How far the recorded scores of a rule may be from the scores at the time: a database records them in half precision.

A rule's margin is an order statistic of signed distances, so it moves by no more than the one that moves most of the
scores that its condition is made of. Other concepts of the policy do not matter to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import numpy as np

from serve_app.domain import LabelScores
from serve_app.policy.concepts import Concept, ScoreKind
from serve_app.policy.conditions import Above, AllOf, AnyOf, AtLeast, Condition, Named, Not
from serve_app.policy.schema import Policy

_RELATIVE_ERROR = 2.0**-11
"""Of a number that was rounded to float16, at most."""

_LEAST_ERROR = 2.0**-25
"""Near zero, where float16 has steps of one size, the error at most."""

_STEEPEST = 0.25
"""The slope of the logistic curve where it is steepest."""


def rounding_errors(policy: Policy, scores: LabelScores) -> Mapping[str, float]:
    """For each rule, how far its margin on any view may be from the one at the time, at most.

    Zero where the scores are recorded as they were. ``scores`` has the columns of ``policy``.
    """
    if not np.array_equal(scores.values, scores.values.astype(np.float16), equal_nan=True):
        return {rule.name: 0.0 for rule in policy.rules}
    return most_rounding_errors(policy, scores)


def most_rounding_errors(policy: Policy, scores: LabelScores) -> Mapping[str, float]:
    """As :func:`rounding_errors`, of scores that were rounded for certain: this takes a tenth of the time."""
    # Not unknown ones. Of each label once, which several concepts may share.
    largest = np.fmax.reduce(np.abs(scores.values), axis=0, initial=0.0)
    of_labels = dict(zip(policy.labels, largest.tolist(), strict=True))
    of_concepts = {concept.name: _error_of(concept, policy, scores, of_labels) for concept in policy.concepts}
    of_conditions: dict[str, float] = {}
    for each in policy.conditions:  # in the order of the file: each is made of those before it
        of_conditions[each.name] = _largest(each.when, of_concepts, of_conditions)
    return {rule.name: _largest(rule.when, of_concepts, of_conditions) for rule in policy.rules}


def _largest(condition: Condition, of_concepts: Mapping[str, float], of_conditions: Mapping[str, float]) -> float:
    """The largest error of the concepts that the condition is made of."""
    match condition:
        case Above(concept):
            return of_concepts[concept]
        case AllOf(of) | AnyOf(of) | AtLeast(_, of):
            return max(_largest(each, of_concepts, of_conditions) for each in of)
        case Not(of):
            return _largest(of, of_concepts, of_conditions)
        case Named(name):
            return of_conditions[name]
        case _:
            assert_never(condition)


def _error_of(concept: Concept, policy: Policy, scores: LabelScores, largest: Mapping[str, float]) -> float:
    """How far the concept's score on any view may be from the one at the time, at most.

    ``largest`` is the size of the largest score of each label.
    """
    error = max(max(largest[label] for label in concept.labels) * _RELATIVE_ERROR, _LEAST_ERROR)
    match concept.score:
        case ScoreKind.CLASSIFIER | ScoreKind.HEAD:
            return error
        case ScoreKind.COSINE | ScoreKind.MARGIN:
            return error + _decimal_error(policy)
        case ScoreKind.CONTRAST:
            # The argument of the logistic curve, a difference of two logits, moves by twice the error of a cosine.
            return _STEEPEST * scores.logit_scale * 2 * (error + _decimal_error(policy))
        case _:
            assert_never(concept.score)


def _decimal_error(policy: Policy) -> float:
    """How far two cosines may be apart after they were rounded to decimals, beyond what they were before."""
    return 0.0 if policy.cosine_decimals is None else 10.0**-policy.cosine_decimals
