"""How often each rule of a policy holds on a set of pictures, and two policies on the same set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.calibration.binomial import interval, mcnemar
from serve_app.calibration.margins import rule_margins
from serve_app.calibration.pictures import ScoredPicture
from serve_app.domain import Verdict
from serve_app.policy import Policy

Expected = Mapping[str, frozenset[str]]
"""By the name of a picture: the rules that should hold for it. Every other rule that holds is a false positive."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``trials``, and the 95 % confidence interval of the rate after Clopper and Pearson, in 0..1."""

    hits: int
    trials: int
    low: float
    high: float

    @classmethod
    def of(cls, holds: NDArray[np.bool_]) -> Rate | None:
        """The rate of what is true; None of nothing."""
        if not len(holds):
            return None
        hits, trials = int(holds.sum()), len(holds)
        return cls(hits, trials, *interval(hits, trials))

    @property
    def share(self) -> float:
        """The rate on these trials, in 0..1."""
        return self.hits / self.trials


@dataclass(frozen=True, slots=True)
class RuleRates:
    """Of one rule: ``false_positives`` among pictures for which it should not hold, ``detections`` among the others.

    Each is None where the set has no such picture.
    """

    rule: str
    verdict: Verdict
    false_positives: Rate | None
    detections: Rate | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A policy on a set of pictures.

    ``refused`` and ``flagged`` are of the pictures for which no rule should hold, whichever rule decided.
    """

    policy: Policy
    pictures: int
    rules: tuple[RuleRates, ...]
    refused: Rate | None
    flagged: Rate | None


@dataclass(frozen=True, slots=True)
class Discordance:
    """Two policies on the same pictures: how many were refused by both, by one alone, and by neither.

    ``p`` is McNemar's exact, two-sided probability that two policies of the same rate differ at least so unevenly; 1
    where they do not differ.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def p(self) -> float:
        """See above."""
        return mcnemar(self.only_first, self.only_second)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two policies, by what they refuse: of the pictures for which no rule should hold, and of the others."""

    ordinary: Discordance
    labelled: Discordance


def evaluate_on(policy: Policy, pictures: Sequence[ScoredPicture], expected: Expected) -> Evaluation:
    """The rates of every rule.

    Args:
        policy: judges.
        pictures: distinct ones.
        expected: of pictures that it does not name, no rule should hold.

    Raises:
        PolicyError: the scores are another model's.
    """
    holds = {rule: margins > 0 for rule, margins in rule_margins(policy, pictures).items()}
    verdicts = _verdicts(policy, holds, len(pictures))
    is_ordinary = _is_ordinary(pictures, expected)
    rules = []
    for rule in policy.rules:
        should = np.array([rule.name in expected.get(each.name, ()) for each in pictures], dtype=np.bool_)
        false_positives, detections = Rate.of(holds[rule.name][~should]), Rate.of(holds[rule.name][should])
        rules.append(RuleRates(rule.name, rule.verdict, false_positives, detections))
    refused, flagged = (Rate.of(verdicts[is_ordinary] == each.severity) for each in (Verdict.REJECT, Verdict.FLAG))
    return Evaluation(policy, len(pictures), tuple(rules), refused, flagged)


def compare_on(
    first: tuple[Policy, Sequence[ScoredPicture]], second: tuple[Policy, Sequence[ScoredPicture]], expected: Expected
) -> Comparison:
    """Two policies over the same pictures, each with its own scores, in the same order.

    Raises:
        PolicyError: the scores are another model's.
        ValueError: the pictures are not the same.
    """
    if [each.sha256 for each in first[1]] != [each.sha256 for each in second[1]]:
        raise ValueError("both policies must have judged the same pictures")
    refusals = []
    for policy, pictures in (first, second):
        holds = {rule: margins > 0 for rule, margins in rule_margins(policy, pictures).items()}
        refusals.append(_verdicts(policy, holds, len(pictures)) == Verdict.REJECT.severity)
    is_ordinary = _is_ordinary(first[1], expected)
    ordinary, labelled = (
        _discordance(refusals[0][chosen], refusals[1][chosen]) for chosen in (is_ordinary, ~is_ordinary)
    )
    return Comparison(ordinary, labelled)


def unknown_names(expected: Expected, pictures: Collection[ScoredPicture]) -> list[str]:
    """The names that no picture has, sorted."""
    return sorted(expected.keys() - {each.name for each in pictures})


def _verdicts(policy: Policy, holds: Mapping[str, NDArray[np.bool_]], count: int) -> NDArray[np.int64]:
    """The severity of each picture's verdict."""
    severities = np.zeros(count, dtype=np.int64)
    for rule in policy.rules:
        severities = np.maximum(severities, np.where(holds[rule.name], rule.verdict.severity, 0))
    return severities


def _is_ordinary(pictures: Sequence[ScoredPicture], expected: Expected) -> NDArray[np.bool_]:
    return np.array([not expected.get(each.name) for each in pictures], dtype=np.bool_)


def _discordance(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Discordance:
    return Discordance(
        both=int((first & second).sum()),
        only_first=int((first & ~second).sum()),
        only_second=int((~first & second).sum()),
        neither=int((~first & ~second).sum()),
    )
