"""Arrivals whose rate changes: a step, and a day."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Rate = Callable[[float], float]
"""Arrivals per second at a moment, in seconds from the start."""


def step(before_per_s: float, after_per_s: float, at_s: float) -> Rate:
    """A rate that changes once."""
    return lambda now_s: before_per_s if now_s < at_s else after_per_s


def day(least_per_s: float, most_per_s: float, day_s: float) -> Rate:
    """A night and an evening: from the least, at the start, over the most, and back, in ``day_s``.

    The fourth power of a sine: a long night, a steep afternoon, and a peak of a few hours, as the access statistics of
    web sites show them.
    """
    return lambda now_s: least_per_s + (most_per_s - least_per_s) * math.sin(math.pi * now_s / day_s) ** 4


def arrivals_s(rate: Rate, most_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Moments in ``0..duration_s``, ascending, of a Poisson process whose rate is ``rate``, at most ``most_per_s``.

    By thinning (Lewis and Shedler 1979): candidates at the highest rate, each kept with the probability that its moment
    has of it.
    """
    source = np.random.default_rng(seed)
    count = source.poisson(most_per_s * duration_s)
    candidates = np.sort(source.uniform(0.0, duration_s, count)).tolist()
    draws = (source.uniform(0.0, most_per_s, count)).tolist()
    return [moment for moment, draw in zip(candidates, draws, strict=True) if draw < rate(moment)]
