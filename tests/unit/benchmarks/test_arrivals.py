"""Arrivals: in order, of the wanted rate, and the same for the same seed."""

from __future__ import annotations

from collections import Counter
from statistics import mean, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.arrivals import poisson_arrivals_s


@given(rate=st.floats(0.1, 50), duration_s=st.floats(0.1, 20), seed=st.integers(0, 1000))
def test_every_arrival_is_in_time_and_in_order(rate: float, duration_s: float, seed: int) -> None:
    moments = poisson_arrivals_s(rate, duration_s, seed)
    assert moments == sorted(moments)
    assert all(0 < moment < duration_s for moment in moments)
    assert moments == poisson_arrivals_s(rate, duration_s, seed)


def test_the_mean_rate_over_a_long_time_is_the_wanted_one() -> None:
    assert len(poisson_arrivals_s(20.0, 20_000.0, 1)) / 20_000 == pytest.approx(20.0, rel=0.05)


def test_the_arrivals_are_those_of_a_poisson_process() -> None:
    """The variance of their number in each second is its mean."""
    counts = Counter(map(int, poisson_arrivals_s(20.0, 5000.0, 1)))
    each = [counts[second] for second in range(5000)]
    assert variance(each) / mean(each) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("wrong", [(0.0, 1.0), (1.0, 0.0)])
def test_no_rate_and_no_time_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        poisson_arrivals_s(*wrong, 1)
