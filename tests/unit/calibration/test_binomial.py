"""Exact tails and bounds, beside published figures and scipy's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.calibration.binomial import interval, least_trials, mcnemar, most_allowed, tail, upper_bound

quick = settings(max_examples=60, deadline=None, derandomize=True)
COUNTS = st.integers(1, 4000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@pytest.mark.parametrize(
    ("count", "trials", "low", "high"),
    [
        # "Rule of three": no hit in n trials bounds the rate by about 3/n; exactly 1 - 0.025 ** (1 / n) two-sided.
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (7, 1514, 0.001861, 0.009502),
    ],
)
def test_intervals_are_the_published_ones(count: int, trials: int, low: float, high: float) -> None:
    assert interval(count, trials) == pytest.approx((low, high), abs=5e-5)


def test_half_a_percent_needs_598_pictures() -> None:
    assert least_trials(0.005) == 598
    assert most_allowed(597, 0.005) is None
    assert most_allowed(598, 0.005) == 0


@quick
@given(COUNTS)
def test_bounds_and_tails_are_scipys(pair: tuple[int, int]) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with the extra openvino-int8")
    count, trials = pair
    known = stats.binomtest(count, trials).proportion_ci(0.95, "exact")
    assert interval(count, trials) == pytest.approx((known.low, known.high), abs=1e-10)
    for rate in (0.001, 0.3, 0.999):
        assert tail(count, trials, rate) == pytest.approx(stats.binom.cdf(count, trials, rate), rel=1e-9, abs=1e-300)


@quick
@given(st.integers(1, 20_000), st.sampled_from([0.0005, 0.001, 0.005, 0.02, 0.2]))
def test_as_many_are_allowed_as_prove_the_budget_and_no_more(trials: int, budget: float) -> None:
    allowed = most_allowed(trials, budget)
    assert (allowed is None) == (trials < least_trials(budget))
    if allowed is not None:
        assert upper_bound(allowed, trials) <= budget
        assert upper_bound(allowed + 1, trials) > budget


@quick
@given(COUNTS)
def test_a_bound_is_the_rate_at_which_so_few_hits_are_as_unlikely_as_was_asked_for(pair: tuple[int, int]) -> None:
    count, trials = pair
    if count < trials:
        assert tail(count, trials, upper_bound(count, trials)) == pytest.approx(0.05, rel=1e-6)
    else:
        assert upper_bound(count, trials) == 1.0


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    # 6 of 6 one way: twice 0.5 ** 6.
    [(0, 0, 1.0), (0, 6, 0.03125), (6, 0, 0.03125), (5, 5, 1.0), (1, 6, 0.125)],
)
def test_mcnemar_is_exact(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p)


def test_mcnemar_is_scipys_two_sided_test() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with the extra openvino-int8")
    for first, second in [(1, 0), (3, 9), (20, 41), (100, 100)]:
        assert mcnemar(first, second) == pytest.approx(stats.binomtest(first, first + second).pvalue, rel=1e-9)
