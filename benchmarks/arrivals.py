"""When requests are sent, decided before the first one is.

Open-loop: a slow answer does not hold the next request back, as it does not hold back the users of an instance. A
latency then counts from the *intended* send, so that a service that stalls is charged for all that it kept waiting
(Tene, "How NOT to Measure Latency": coordinated omission).
"""

from __future__ import annotations

import random

BURST_FACTOR = 4.0
"""How many times the mean rate a burst has, if nothing else is said."""

BURST_SHARE = 0.15
"""The share of time that is burst."""

BURST_S = 1.0
"""The mean length of a burst, in seconds."""


def poisson_arrivals_s(rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Moments in ``0..duration_s``, ascending, of a Poisson process with ``rate_per_s``."""
    if rate_per_s <= 0 or duration_s <= 0:
        raise ValueError("rate and duration are above zero")
    return _poisson_s(random.Random(seed), rate_per_s, 0.0, duration_s)


def bursty_arrivals_s(
    rate_per_s: float,
    duration_s: float,
    seed: int,
    burst_factor: float = BURST_FACTOR,
    burst_share: float = BURST_SHARE,
    burst_s: float = BURST_S,
) -> list[float]:
    """Moments of a Poisson process whose rate jumps between calm and burst, as when a post is boosted.

    A Markov-modulated Poisson process of two states (Fischer and Meier-Hellstern, "The Markov-modulated Poisson process
    (MMPP) cookbook", Performance Evaluation 18, 1993): the lengths of bursts and calms are exponentially distributed.

    Args:
        rate_per_s: the mean over calm and burst. A short run may have more or less, as it has more or fewer bursts.
        duration_s: of the whole.
        seed: of the lengths and of the arrivals.
        burst_factor: the rate in a burst over the mean rate; above 1.
        burst_share: the share of time that is burst; ``burst_factor * burst_share`` is at most 1.
        burst_s: mean length of a burst.

    Raises:
        ValueError: the arguments describe no such process.
    """
    if rate_per_s <= 0 or duration_s <= 0 or burst_s <= 0:
        raise ValueError("rate, duration and length of a burst are above zero")
    if burst_factor <= 1 or not 0 < burst_share * burst_factor <= 1:
        raise ValueError("a burst has more than the mean rate, and not more than all arrivals")
    calm_factor = (1 - burst_factor * burst_share) / (1 - burst_share)
    calm_s = burst_s * (1 - burst_share) / burst_share
    source = random.Random(seed)
    moments: list[float] = []
    now_s, is_burst = 0.0, source.random() < burst_share
    while now_s < duration_s:
        until_s = min(duration_s, now_s + source.expovariate(1 / (burst_s if is_burst else calm_s)))
        factor = burst_factor if is_burst else calm_factor
        if factor > 0:
            moments += _poisson_s(source, rate_per_s * factor, now_s, until_s)
        now_s, is_burst = until_s, not is_burst
    return moments


def _poisson_s(source: random.Random, rate_per_s: float, from_s: float, until_s: float) -> list[float]:
    moments = []
    now_s = from_s + source.expovariate(rate_per_s)
    while now_s < until_s:
        moments.append(now_s)
        now_s += source.expovariate(rate_per_s)
    return moments
