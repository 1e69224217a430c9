"""Thresholds under a budget of false positives, by one margin for each rule.

The number of false positives that is allowed follows from the number of pictures and the budget alone, before any score
is looked at: it is the largest number of hits that would still prove the budget (Clopper and Pearson). Then each rule
moves by the least margin that leaves no more than that. Order statistics give the guarantee: whatever the distribution
of margins, the rate above the (allowed + 1)-th largest of n is at most the budget with the wanted confidence
(Wilks 1941, "Determination of sample sizes for setting tolerance limits"). It is a guarantee for one free number, which
is why all thresholds of a rule move together.

Where the budget has room, the least margin is below zero, and thresholds would become lower. By default they stay: a
line that is higher than it needs to be has a lower rate, whatever the pictures are, and so the guarantee holds for it
all the more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

import numpy as np

from serve_app.calibration.binomial import CONFIDENCE, least_trials, most_allowed, upper_bound
from serve_app.calibration.margins import FloatArray
from serve_app.policy import STEP_DECIMALS

_STEP = Decimal(1).scaleb(-STEP_DECIMALS)

_ABOVE_ROUNDING = 1e-9
"""More than the errors of float64 in a margin, so that a picture on the new line does not count as over it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fixed before any score is looked at.

    ``allowed`` is None where even no false positive among ``pictures`` would prove the budget; ``missing`` says how
    many more pictures would.
    """

    pictures: int
    budget: float
    confidence: float
    allowed: int | None
    missing: int

    @property
    def bound(self) -> float:
        """The rate that is not exceeded with this confidence, where ``allowed`` pictures are false positives."""
        return 1.0 if self.allowed is None else upper_bound(self.allowed, self.pictures, self.confidence)


def plan(pictures: int, budget: float, confidence: float = CONFIDENCE) -> Plan:
    """The plan for so many distinct pictures and a budget, a rate in 0..1 (both excluded)."""
    allowed = most_allowed(pictures, budget, confidence)
    return Plan(pictures, budget, confidence, allowed, max(0, least_trials(budget, confidence) - pictures))


def needed_margin(margins: FloatArray, allowed: int) -> Decimal:
    """The least margin, in whole steps, over which no more than ``allowed`` of ``margins`` are.

    Zero where the pictures that could ever be over a line are no more than that.
    """
    line = float(np.partition(margins, -(allowed + 1))[-(allowed + 1)])
    if not np.isfinite(line):
        return Decimal(0)
    return Decimal(line + _ABOVE_ROUNDING).quantize(_STEP, ROUND_CEILING)


def fit(
    margins: Mapping[str, FloatArray], groups: Sequence[Sequence[str]], allowed: int, *, may_lower: bool = False
) -> Mapping[str, Decimal]:
    """For each rule the margin by which its thresholds move, at least zero unless it ``may_lower`` them.

    Args:
        margins: of each rule on each picture, ``(pictures,)``; more pictures than are ``allowed``.
        groups: of rules that can only move together: by what the rule needs that needs most. Its bound holds for the
            others all the more, since a larger margin never adds a false positive.
        allowed: false positives of each rule.
        may_lower: let a rule hold for more pictures than before, where that leaves no more than are allowed.
    """
    needed = {group: max(needed_margin(margins[each], allowed) for each in group) for group in map(tuple, groups)}
    return {rule: by if may_lower else max(by, Decimal(0)) for group, by in needed.items() for rule in group}


def holding(margins: FloatArray, moved_by: float = 0.0) -> int:
    """For how many pictures the rule holds after its thresholds have moved."""
    return int((margins > moved_by).sum())


def nearest(margins: FloatArray, moved_by: float, count: int) -> list[int]:
    """The places of the pictures nearest to the line after the thresholds have moved, the nearest first."""
    return [int(place) for place in np.argsort(np.abs(margins - moved_by), kind="stable")[:count]]
