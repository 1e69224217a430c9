"""What latencies are made of, as arithmetic alone.

A percentile here is the *nearest rank*: the smallest measured value that at least that share of all values does not
exceed. It is always a latency that somebody had, never an average of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Summary:
    """Latencies of answers, in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile.

    Args:
        sorted_values: ascending, at least one.
        share: in 0..1; 0.99 for the 99th percentile.
    """
    if not sorted_values:
        raise ValueError("no values, no percentile")
    return sorted_values[max(0, ceil(share * len(sorted_values)) - 1)]


def summarise(latencies_s: Sequence[float]) -> Summary:
    """The summary of at least one latency, given in seconds."""
    values = sorted(latencies_s)
    return Summary(
        count=len(values),
        p50_ms=percentile(values, 0.50) * 1e3,
        p95_ms=percentile(values, 0.95) * 1e3,
        p99_ms=percentile(values, 0.99) * 1e3,
        max_ms=values[-1] * 1e3,
    )
