"""Exact binomial arithmetic: bounds of a rate by Clopper and Pearson, and McNemar's test.

Tails are summed from logarithms of single terms, and quantiles are found by bisection. scipy has both; it would be a
dependency of 100 MB for one quantile. The tests compare with it.

Sources: Clopper and Pearson 1934, Biometrika 26 (4); McNemar 1947, Psychometrika 12 (2), in its exact form.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95

_BISECTIONS = 100
"""Halvings of 0..1: more than a float64 distinguishes."""


def tail(count: int, trials: int, rate: float) -> float:
    """The probability of at most ``count`` hits in ``trials`` of this ``rate``."""
    return _tail(_log_choices(count, trials), trials, rate)


def upper_bound(count: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The rate that is not exceeded with this confidence, if ``count`` of ``trials`` were hits: one-sided.

    It is the rate at which so few hits have the probability ``1 - confidence``.
    """
    if count >= trials:
        return 1.0
    log_choices = _log_choices(count, trials)
    return _bisected(lambda rate: _tail(log_choices, trials, rate) > 1 - confidence)


def interval(count: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Both ends of the rate's confidence interval; half of what it may miss lies on either side."""
    one_sided = (1 + confidence) / 2
    return 1 - upper_bound(trials - count, trials, one_sided), upper_bound(count, trials, one_sided)


def most_allowed(trials: int, budget: float, confidence: float = CONFIDENCE) -> int | None:
    """How many of ``trials`` may be hits so that the rate is at most ``budget`` with this confidence.

    None if even no hit would not prove it.
    """
    allowed = None
    cumulated = 0.0
    for count, term in enumerate(_terms(_log_choices(_most_plausible(trials, budget), trials), trials, budget)):
        cumulated += float(term)
        if cumulated > 1 - confidence:
            break
        allowed = count
    return allowed


def least_trials(budget: float, confidence: float = CONFIDENCE) -> int:
    """How many trials without a hit prove that the rate is at most ``budget``."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-budget))


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided probability of pairs that differ at least so unevenly, if both were hit at the same rate."""
    differing = only_first + only_second
    return min(1.0, 2 * tail(min(only_first, only_second), differing, 0.5)) if differing else 1.0


def _bisected(is_below: Callable[[float], bool]) -> float:
    """The upper end of the last of ever smaller ranges in 0..1 around the rate below which ``is_below`` is true."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return high


def _most_plausible(trials: int, rate: float) -> int:
    """A count that so many trials of this rate exceed with a probability of about a half."""
    return min(trials, math.ceil(trials * rate) + 1)


def _log_choices(count: int, trials: int) -> NDArray[np.float64]:
    """The logarithms of "``trials`` choose i", for i = 0..``count``."""
    logs = [math.lgamma(trials + 1) - math.lgamma(i + 1) - math.lgamma(trials - i + 1) for i in range(count + 1)]
    return np.array(logs)


def _terms(log_choices: NDArray[np.float64], trials: int, rate: float) -> NDArray[np.float64]:
    """The probabilities of exactly i hits, for as many i as there are ``log_choices``; 0 < ``rate`` < 1."""
    hits = np.arange(len(log_choices))
    terms: NDArray[np.float64] = np.exp(log_choices + hits * math.log(rate) + (trials - hits) * math.log1p(-rate))
    return terms


def _tail(log_choices: NDArray[np.float64], trials: int, rate: float) -> float:
    if not 0 < rate < 1:
        return 1.0 if rate <= 0 or len(log_choices) > trials else 0.0
    # All terms are positive, so that numpy's pairwise sum is exact enough; fsum() visits thousands of them one by one.
    return min(1.0, float(_terms(log_choices, trials, rate).sum()))
