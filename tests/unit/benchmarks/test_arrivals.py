"""Arrivals: in order, of the wanted rate, the same for the same seed, and bursty where bursts are asked for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.arrivals import BURST_FACTOR, BURST_S, BURST_SHARE, bursty_arrivals_s, poisson_arrivals_s

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


def test_bursts_may_hold_all_arrivals() -> None:
    moments = bursty_arrivals_s(10.0, 5000.0, 1, burst_factor=4, burst_share=0.25, burst_s=1.0)
    seconds_with_any = len({int(moment) for moment in moments})
    assert seconds_with_any < 2500
    assert len(moments) / 5000 == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize("wrong", [{"rate_per_s": 0.0}, {"duration_s": 0.0}])
def test_no_rate_and_no_time_are_refused(wrong: dict[str, float]) -> None:
    asked = {"rate_per_s": 1.0, "duration_s": 1.0, **wrong}
    with pytest.raises(ValueError, match="above zero"):
        poisson_arrivals_s(**asked, seed=1)
    with pytest.raises(ValueError, match="above zero"):
        bursty_arrivals_s(**asked, seed=1)


@pytest.mark.parametrize(("factor", "share"), [(1.0, BURST_SHARE), (BURST_FACTOR, 0.3), (BURST_FACTOR, 0.0)])
def test_impossible_bursts_are_refused(factor: float, share: float) -> None:
    with pytest.raises(ValueError, match="a burst has"):
        bursty_arrivals_s(1.0, 1.0, 1, factor, share, BURST_S)
