"""When pictures are sent, decided before the first one is: open-loop, as the users of an instance send them.

A slow answer does not hold the next picture back, and a latency counts from the *intended* send, so that a service that
stalls is charged for all that it kept waiting (Tene, "How NOT to Measure Latency": coordinated omission).
"""

from __future__ import annotations

import numpy as np


def poisson_arrivals_s(rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Moments in ``0..duration_s``, ascending, of a Poisson process with ``rate_per_s``."""
    if rate_per_s <= 0 or duration_s <= 0:
        raise ValueError("rate and duration are above zero")
    source = np.random.default_rng(seed)
    # Given their number, the arrivals of a Poisson process are uniform.
    moments: list[float] = np.sort(source.uniform(0.0, duration_s, source.poisson(rate_per_s * duration_s))).tolist()
    return moments
