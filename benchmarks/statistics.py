"""What latencies are made of, as arithmetic alone: the one definition of a percentile in these benchmarks.

A percentile here is the *nearest rank*: the smallest measured value that at least that share of all values does not
exceed. It is always a latency that somebody had, never an average of two; HdrHistogram keeps it to three significant
digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, log2

from hdrh.histogram import HdrHistogram

_LEAST_US = 1
_MOST_US = 60_000_000
_SIGNIFICANT_DIGITS = 3
_US_PER_S = 1e6
_US_PER_MS = 1e3

_POINTS_PER_HALVING = 5


class Latencies:
    """Latencies of 1 µs to 60 s; what took longer counts as 60 s."""

    def __init__(self, latencies_s: Iterable[float] = ()) -> None:
        self._histogram = HdrHistogram(_LEAST_US, _MOST_US, _SIGNIFICANT_DIGITS)
        for latency_s in latencies_s:
            self.record(latency_s)

    def record(self, latency_s: float) -> None:
        """Count one more."""
        self._histogram.record_value(min(max(_LEAST_US, round(latency_s * _US_PER_S)), _MOST_US))

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._histogram.total_count)

    def percentile_ms(self, share: float) -> float:
        """The nearest-rank percentile for ``share`` in 0..1 (1 for the largest).

        Of fewer than 100 values the 99th percentile is the largest one: stricter, never kinder.

        Raises:
            ValueError: there are no latencies.
        """
        if not self.count:
            raise ValueError("no values, no percentile")
        return self._at_ranks_ms([_rank(share, self.count)])[0]

    def told_percentile_ms(self, share: float) -> float | None:
        """The same for people to read; None where there are too few values for one to lie beyond it."""
        is_told = self.count and (share == 1 or _rank(share, self.count) < self.count)
        return self.percentile_ms(share) if is_told else None

    def distribution_ms(self) -> list[tuple[float, float]]:
        """Share and latency, five points for each halving of what is left above, up to the last single value."""
        if not self.count:
            return []
        halvings = log2(self.count)
        left = [0.5 ** (step / _POINTS_PER_HALVING) for step in range(int(halvings * _POINTS_PER_HALVING) + 1)]
        shares = [1 - each for each in left]
        return list(zip(shares, self._at_ranks_ms([_rank(share, self.count) for share in shares]), strict=True))

    def _at_ranks_ms(self, ranks: Sequence[int]) -> list[float]:
        # HdrHistogram rounds the rank that it computes from a percentile; here there is nothing left to round.
        by_percentile = self._histogram.get_percentile_to_value_dict([100 * rank / self.count for rank in ranks])
        return [float(by_percentile[100 * rank / self.count]) / _US_PER_MS for rank in ranks]


def _rank(share: float, count: int) -> int:
    """From 1 to ``count``. 0.07 of 100 is the 7th value, though the product of the floats is a little more than 7."""
    return max(1, ceil(share * count - 1e-9))
