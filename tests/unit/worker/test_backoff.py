"""The waits between tries: each within its bound, and short again after a connection that was a good one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.worker.backoff import FIRST_S, LIVED_S, LONGEST_S, Backoff

DRAWS = st.floats(0.0, 1.0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(DRAWS, min_size=1, max_size=200))
def test_every_wait_is_within_its_bound(draws: list[float]) -> None:
    drawn = iter(draws)
    backoff = Backoff(lambda: next(drawn), Clock())
    for tries, draw in enumerate(draws):
        bound_s = min(FIRST_S * 2.0 ** min(tries, 10), LONGEST_S)
        assert backoff.next_s() == draw * bound_s


@given(st.integers(0, 20), st.floats(0.0, 10 * LIVED_S))
def test_a_connection_that_lived_makes_the_next_wait_short_and_no_other_does(tries: int, lived_s: float) -> None:
    clock = Clock()
    backoff = Backoff(lambda: 1.0, clock)
    for _ in range(tries):
        backoff.next_s()
    backoff.accepted()
    clock.now_s += lived_s
    grown_s = min(FIRST_S * 2.0**tries, LONGEST_S)
    assert backoff.next_s() == (FIRST_S if lived_s >= LIVED_S else grown_s)


def test_a_good_connection_counts_once() -> None:
    clock = Clock()
    backoff = Backoff(lambda: 1.0, clock)
    backoff.accepted()
    clock.now_s += LIVED_S
    assert [backoff.next_s() for _ in range(3)] == [1.0, 2.0, 4.0]
