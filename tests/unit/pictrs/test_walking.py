"""Walks over what is stored while it changes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import PictrsUnavailableError
from serve_app.pictrs import HashPage, StoredPicture, newest_first, stored_between
from tests.contract.pictrs.stand_in import StandIn, ticking

START = datetime(2026, 11, 25, tzinfo=UTC)
BODIES = [b"picture %d" % number for number in range(40)]
NUMBERS = {hashlib.sha256(body).hexdigest(): number for number, body in enumerate(BODIES)}


class Store:
    """The stand-in without its socket: the pictures 0, 1, 2, …, stored a second apart.

    Before each page, others purge the next ones of ``meanwhile``, or store those that are not there.
    """

    def __init__(self, pictures: int, meanwhile: Iterable[Sequence[int]] = ()) -> None:
        self.stand_in = StandIn(clock=ticking(START))
        self.pages = 0
        self._meanwhile = iter(meanwhile)
        for number in range(pictures):
            self.change(number)

    def change(self, number: int) -> None:
        kept = [each for each in self.stand_in.stored if each.body != BODIES[number]]
        if len(kept) < len(self.stand_in.stored):
            self.stand_in.stored = kept
        else:
            self.stand_in.store(BODIES[number])

    async def page(self, *, slug: str | None = None, before: datetime | None = None, limit: int = 50) -> HashPage:
        self.pages += 1
        for number in next(self._meanwhile, ()):
            self.change(number)
        return HashPage.of_json(self.stand_in.page(slug, before, limit))


def number_of(picture: StoredPicture) -> int:
    return NUMBERS[picture.hash.sha256]


async def walked(store: Store, limit: int = 2) -> list[int]:
    return [number_of(picture) async for picture in newest_first(store, limit=limit)]


async def test_an_empty_store_has_nothing() -> None:
    assert await walked(Store(0)) == []


async def test_pictures_that_are_stored_meanwhile_are_left_out() -> None:
    assert await walked(Store(5, [(), (10,), (11,)])) == [4, 3, 2, 1, 0]


async def test_a_picture_that_is_purged_where_the_walk_goes_on_ends_no_walk() -> None:
    # Its slug, which pict-rs has forgotten, would begin again at the newest.
    assert await walked(Store(6, [(), (3,)])) == [5, 4, 2, 1, 0]


async def test_a_walk_goes_on_behind_the_latest_picture_that_is_still_there() -> None:
    assert await walked(Store(8, [(), (), (3, 4, 5)])) == [7, 6, 5, 4, 2, 1, 0]


async def test_a_walk_that_has_lost_its_place_says_so() -> None:
    with pytest.raises(PictrsUnavailableError, match="walk again"):
        await walked(Store(6, [(), (3, 4, 5)]))


async def test_a_picture_that_is_purged_and_stored_again_does_not_begin_the_walk_again() -> None:
    # Before the third page, 1 is purged and stored again: it is the newest now.
    store = Store(6, [(), (), (1, 1)])
    with pytest.raises(PictrsUnavailableError, match="walk again"):
        await walked(store)


@given(
    pictures=st.integers(0, 8),
    meanwhile=st.lists(st.lists(st.integers(0, 12), max_size=3), max_size=20),
    limit=st.integers(1, 4),
    purges=st.booleans(),
)
def test_whatever_happens_meanwhile_a_walk_ends_and_leaves_nothing_out_unsaid(
    pictures: int, meanwhile: list[list[int]], limit: int, purges: bool
) -> None:
    store = Store(pictures, meanwhile)
    numbers: list[int] = []

    async def walk() -> None:
        async for picture in newest_first(store, limit=limit):
            numbers.append(number_of(picture))
            if purges:
                store.change(numbers[-1])

    changes = [number for each in meanwhile for number in each]
    untouched = set(range(pictures)) - set(changes)
    try:
        asyncio.run(walk())
    except PictrsUnavailableError:
        assert changes, "nobody else did anything"
    else:
        assert untouched <= set(numbers)
    assert store.pages < 200
    is_any_stored_again = any(changes.count(number) > 1 or purges for number in changes)
    assert is_any_stored_again or len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
@pytest.mark.parametrize(("first", "last"), [(0, 7), (2, 4), (3, 3), (6, 7)])
async def test_a_bracket_holds_what_was_stored_in_it(first: int, last: int, limit: int) -> None:
    store = Store(8)
    start, end = START + timedelta(seconds=first), START + timedelta(seconds=last, milliseconds=1)
    found = [number_of(picture) async for picture in stored_between(store, start, end, limit)]
    assert found == list(range(last, first - 1, -1))


async def test_a_bracket_ends_though_the_picture_before_it_is_purged() -> None:
    # 2 was the end of the bracket, and is purged when it has been looked up.
    store = Store(8, [(), (), (), (2,)])
    start, end = START + timedelta(seconds=3), START + timedelta(seconds=5, milliseconds=1)
    found = [number_of(picture) async for picture in stored_between(store, start, end, limit=1)]
    assert found == [5, 4, 3]
