"""When requests are sent, decided before the first one is.

Open-loop: a slow answer does not hold the next request back, as it does not hold back the users of an instance. A
latency then counts from the *intended* send, so that a service that stalls is charged for all that it kept waiting
(Tene, "How NOT to Measure Latency": coordinated omission).
"""

from __future__ import annotations

import random


def poisson_arrivals_s(rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Moments in ``0..duration_s``, ascending, of a Poisson process with ``rate_per_s``."""
    if rate_per_s <= 0 or duration_s <= 0:
        raise ValueError("rate and duration are above zero")
    source = random.Random(seed)
    moments: list[float] = []
    now_s = source.expovariate(rate_per_s)
    while now_s < duration_s:
        moments.append(now_s)
        now_s += source.expovariate(rate_per_s)
    return moments
