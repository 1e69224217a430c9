"""Arrivals whose rate changes."""

import pytest

from benchmarks.demand import arrivals_s, day, step


def test_a_step_has_its_two_rates():
    moments = arrivals_s(step(10.0, 100.0, 50.0), 100.0, 100.0, seed=1)
    assert moments == sorted(moments)
    assert sum(moment < 50.0 for moment in moments) == pytest.approx(500, rel=0.2)
    assert sum(moment >= 50.0 for moment in moments) == pytest.approx(5000, rel=0.1)
    assert moments[0] >= 0.0
    assert moments[-1] < 100.0


def test_a_day_goes_from_its_least_over_its_most_and_back():
    rate = day(2.0, 10.0, 1000.0)
    assert [rate(moment) for moment in (0.0, 500.0)] == pytest.approx([2.0, 10.0])
    assert rate(1000.0) == pytest.approx(2.0)
    assert rate(250.0) < 5.0


def test_the_same_seed_gives_the_same_arrivals_and_another_others():
    first, again, other = (arrivals_s(step(5.0, 5.0, 0.0), 5.0, 20.0, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
