"""Quotas on a clock that only the tests move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import SourceFullError
from serve_app.moderation.quotas import Quotas


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def let_in(quotas: Quotas, source: str = "a") -> bool:
    try:
        quotas.require(source)
    except SourceFullError:
        return False
    quotas.count(source)
    return True


def test_twice_the_quota_at_once_is_the_quota_and_as_many_refusals() -> None:
    quotas = Quotas({"a": 50}, clock=Clock())
    assert sum(let_in(quotas) for _ in range(100)) == 50
    assert quotas.refused == {"a": 50}


def test_a_source_without_a_quota_is_never_over_it() -> None:
    quotas = Quotas({"a": 1}, clock=Clock())
    assert all(let_in(quotas, "b") for _ in range(1000))
    assert let_in(quotas)
    assert quotas.refused == {"a": 0}


def test_what_was_used_up_comes_back_evenly() -> None:
    clock = Clock()
    quotas = Quotas({"a": 60}, clock=clock)
    while let_in(quotas):
        pass
    for _ in range(30):
        clock.now_s += 1.0
        assert [let_in(quotas), let_in(quotas)] == [True, False]


@pytest.mark.parametrize(("replicas", "most"), [(1, 10), (2, 5), (3, 3), (10, 1), (40, 1)])
def test_each_of_several_replicas_has_an_even_part(replicas: int, most: int) -> None:
    clock = Clock()
    quotas = Quotas({"a": 10}, lambda: replicas, clock)
    assert sum(let_in(quotas) for _ in range(20)) == most
    clock.now_s += 60.0 * replicas / 10
    assert let_in(quotas), "however small the part is, a picture comes through now and then"


def test_a_replica_that_goes_leaves_its_part_to_the_others() -> None:
    clock = Clock()
    replicas = [2]
    quotas = Quotas({"a": 60}, lambda: replicas[0], clock)
    assert sum(let_in(quotas) for _ in range(100)) == 30
    replicas[0] = 1
    clock.now_s += 60.0
    assert sum(let_in(quotas) for _ in range(100)) == 60


_STEPS = st.lists(st.tuples(st.floats(0, 20), st.integers(0, 40)), max_size=60)


@given(st.integers(1, 90), _STEPS)
def test_in_no_stretch_of_time_are_there_more_than_the_quota_and_what_grows_meanwhile(
    quota: int, steps: list[tuple[float, int]]
) -> None:
    clock = Clock()
    quotas = Quotas({"a": quota}, clock=clock)
    moments_s: list[float] = []
    for passes_s, pictures in steps:
        clock.now_s += passes_s
        moments_s += [clock.now_s for _ in range(pictures) if let_in(quotas)]
    for first, began_s in enumerate(moments_s):
        for last in range(first, len(moments_s)):
            assert last - first + 1 <= quota * (1 + (moments_s[last] - began_s) / 60) + 1e-3


@given(st.integers(1, 90), _STEPS)
def test_a_source_that_stays_below_its_quota_is_never_refused(quota: int, steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    quotas = Quotas({"a": quota}, clock=clock)
    for _ in steps:
        clock.now_s += 60.0 / quota + 1e-6
        assert let_in(quotas)
