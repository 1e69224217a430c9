"""When pictures are sent, decided before the first one is: open-loop, as the users of an instance send them.

A slow answer does not hold the next picture back, and a latency counts from the *intended* send, so that a service that
stalls is charged for all that it kept waiting (Tene, "How NOT to Measure Latency": coordinated omission).
"""

from __future__ import annotations

import numpy as np

BURST_FACTOR = 4.0
"""How many times the mean rate a burst has."""

BURST_SHARE = 0.15
"""The share of time that is burst."""

BURST_S = 1.0
"""The mean length of a burst, in seconds."""


def poisson_arrivals_s(rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Moments in ``0..duration_s``, ascending, of a Poisson process with ``rate_per_s``."""
    _require_positive(rate_per_s, duration_s)
    return _poisson_s(np.random.default_rng(seed), rate_per_s, 0.0, duration_s)


def bursty_arrivals_s(rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Moments of a Poisson process whose rate jumps between calm and burst, as when a post is boosted.

    A Markov-modulated Poisson process of two states (Fischer and Meier-Hellstern, "The MMPP cookbook", Performance
    Evaluation 18, 1993): the lengths of bursts and calms are exponentially distributed, and the mean rate over both is
    ``rate_per_s``.
    """
    _require_positive(rate_per_s, duration_s)
    calm_factor = (1 - BURST_FACTOR * BURST_SHARE) / (1 - BURST_SHARE)
    calm_s = BURST_S * (1 - BURST_SHARE) / BURST_SHARE
    source = np.random.default_rng(seed)
    moments: list[float] = []
    now_s, is_burst = 0.0, source.random() < BURST_SHARE
    while now_s < duration_s:
        until_s = min(duration_s, now_s + source.exponential(BURST_S if is_burst else calm_s))
        moments += _poisson_s(source, rate_per_s * (BURST_FACTOR if is_burst else calm_factor), now_s, until_s)
        now_s, is_burst = until_s, not is_burst
    return moments


def _require_positive(rate_per_s: float, duration_s: float) -> None:
    if rate_per_s <= 0 or duration_s <= 0:
        raise ValueError("rate and duration are above zero")


def _poisson_s(source: np.random.Generator, rate_per_s: float, from_s: float, until_s: float) -> list[float]:
    # Given their number, the arrivals of a Poisson process are uniform.
    count = source.poisson(rate_per_s * (until_s - from_s))
    return sorted(source.uniform(from_s, until_s, count).tolist())
