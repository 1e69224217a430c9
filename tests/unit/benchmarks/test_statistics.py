"""One definition of a percentile: the nearest rank, kept to three digits."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import Latencies

TIMES_S = st.lists(st.floats(0.000_01, 59.0), min_size=1, max_size=200)


@given(times_s=TIMES_S, share=st.sampled_from([0.0, 0.07, 0.5, 0.95, 0.99, 0.999, 1.0]))
def test_every_percentile_is_a_measured_value_of_the_nearest_rank(times_s: list[float], share: float) -> None:
    ranked = sorted(times_s)[max(1, ceil(round(share * len(times_s), 6))) - 1]
    # Three significant digits, and a microsecond for those below a millisecond.
    assert Latencies(times_s).percentile_ms(share) == pytest.approx(ranked * 1e3, rel=1.1e-3, abs=1.1e-3)


@given(times_s=TIMES_S)
def test_every_distribution_rises_and_ends_before_the_largest(times_s: list[float]) -> None:
    points = Latencies(times_s).distribution_ms()
    assert [share for share, _ in points] == sorted({share for share, _ in points})
    assert [value for _, value in points] == sorted(value for _, value in points)
    assert points[0][0] == 0.0
    assert points[-1][0] < 1.0


def test_no_values_have_no_percentile_and_no_distribution() -> None:
    none = Latencies()
    assert none.distribution_ms() == []
    assert none.told_percentile_ms(0.5) is None
    assert none.told_percentile_ms(1) is None
    with pytest.raises(ValueError, match="no values"):
        none.percentile_ms(0.5)


def test_a_percentile_is_told_when_a_value_lies_beyond_it() -> None:
    hundred = Latencies(n / 100 for n in range(1, 101))
    assert hundred.told_percentile_ms(0.99) == pytest.approx(990, rel=1e-3)
    assert hundred.told_percentile_ms(0.999) is None
    assert hundred.percentile_ms(0.999) == hundred.told_percentile_ms(1) == pytest.approx(1000, rel=1e-3)


def test_what_takes_longer_than_a_minute_counts_as_a_minute() -> None:
    assert Latencies([3600.0]).percentile_ms(1) == pytest.approx(60_000, rel=1e-3)
