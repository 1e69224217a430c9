"""Arrivals: in order, of the wanted rate, the same for the same seed, and bursty where bursts are asked for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.arrivals import bursty_arrivals_s, poisson_arrivals_s

ARRIVALS = pytest.mark.parametrize("arrivals", [poisson_arrivals_s, bursty_arrivals_s])


@ARRIVALS
@given(rate=st.floats(0.1, 50), duration_s=st.floats(0.1, 20), seed=st.integers(0, 1000))
def test_every_arrival_is_in_time_and_in_order(arrivals, rate: float, duration_s: float, seed: int) -> None:
    moments = arrivals(rate, duration_s, seed)
    assert moments == sorted(moments)
    assert all(0 < moment < duration_s for moment in moments)
    assert moments == arrivals(rate, duration_s, seed)


@ARRIVALS
def test_the_mean_rate_over_a_long_time_is_the_wanted_one(arrivals) -> None:
    assert len(arrivals(20.0, 20_000.0, 1)) / 20_000 == pytest.approx(20.0, rel=0.05)


def dispersion(moments: list[float], duration_s: int) -> float:
    """Variance over mean of the arrivals in each second: 1 for a Poisson process."""
    counts = Counter(int(moment) for moment in moments)
    each = [counts[second] for second in range(duration_s)]
    mean = sum(each) / duration_s
    return sum((count - mean) ** 2 for count in each) / duration_s / mean


def test_bursts_are_far_from_a_poisson_process() -> None:
    assert dispersion(poisson_arrivals_s(20.0, 5000.0, 1), 5000) == pytest.approx(1, abs=0.1)
    assert dispersion(bursty_arrivals_s(20.0, 5000.0, 1), 5000) > 10


@ARRIVALS
@pytest.mark.parametrize("wrong", [(0.0, 1.0), (1.0, 0.0)])
def test_no_rate_and_no_time_are_refused(arrivals, wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        arrivals(*wrong, 1)
