"""That nobody is there is said late, and so is that somebody is; but who waits for a worker is told at once."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.remote.absence import AWAY_AFTER_S, BACK_AFTER_S, LOOK_EVERY_S, Absence


class Watched:
    """An absence whose clock and workers are the test's."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.is_there = False
        self.told: list[tuple[float, bool]] = []
        self.came_back = asyncio.Event()
        self.absence = Absence(
            lambda: self.is_there,
            lambda is_away: self.told.append((self.now_s - 100.0, is_away)),
            self.came_back,
            lambda: self.now_s,
        )

    def after(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_EVERY_S)):
            self.absence.look()
            self.now_s += LOOK_EVERY_S


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_front_whose_worker_comes_soon_says_nothing(watched: Watched) -> None:
    watched.after(AWAY_AFTER_S - 1)
    watched.is_there = True
    watched.after(1000)
    assert watched.told == []
    assert not watched.absence.is_away


def test_nobody_from_the_start_is_said_once(watched: Watched) -> None:
    watched.after(1000)
    assert watched.told == [(AWAY_AFTER_S, True)]
    assert watched.absence.is_away


def test_a_connection_that_was_cut_is_no_absence(watched: Watched) -> None:
    watched.is_there = True
    for _ in range(20):
        watched.after(30)
        watched.is_there = False
        watched.after(AWAY_AFTER_S - 1)
        watched.is_there = True
    assert watched.told == []


def test_a_worker_that_comes_and_goes_is_none(watched: Watched) -> None:
    watched.after(60)
    for _ in range(20):
        watched.is_there = True
        watched.after(BACK_AFTER_S - 1)
        watched.is_there = False
        watched.after(5)
    assert [is_away for _, is_away in watched.told] == [True]
    watched.is_there = True
    watched.after(BACK_AFTER_S + 1)
    assert [is_away for _, is_away in watched.told] == [True, False]


def test_who_waits_is_told_at_each_coming_at_once(watched: Watched) -> None:
    watched.after(60)
    for _ in range(2):
        assert not watched.came_back.is_set()
        watched.is_there = True
        watched.after(1)
        assert watched.came_back.is_set()
        watched.came_back.clear()
        watched.after(5)
        watched.is_there = False
        watched.after(5)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=30))
def test_what_is_said_alternates_and_never_flaps(times: list[tuple[bool, int]]) -> None:
    watched = Watched()
    for is_there, seconds in times:
        watched.is_there = is_there
        watched.after(seconds)
    said = [is_away for _, is_away in watched.told]
    assert said == [number % 2 == 0 for number in range(len(said))]
    at_s = [seconds for seconds, _ in watched.told]
    assert all(later - earlier >= min(AWAY_AFTER_S, BACK_AFTER_S) for earlier, later in itertools.pairwise(at_s))


async def test_it_looks_every_second_until_it_is_cancelled(watched: Watched) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        watched.now_s += seconds
        if len(pauses) > AWAY_AFTER_S + 1:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await watched.absence.run(sleep)
    assert set(pauses) == {LOOK_EVERY_S}
    assert watched.told == [(AWAY_AFTER_S, True)]
