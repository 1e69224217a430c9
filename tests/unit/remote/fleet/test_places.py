"""Places for workers: no owner takes those of the others."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serve_app.remote.fleet.places import why_no_place

OWNERS = ("alice", "bob", "carol")


@given(st.lists(st.sampled_from(OWNERS[:-1])), st.integers(3, 8))
def test_whoever_has_none_finds_a_place_whatever_the_others_do(comers: list[str], places: int) -> None:
    taken: Counter[str] = Counter()
    for owner in comers:
        if why_no_place(owner, taken, OWNERS, places) is None:
            taken[owner] += 1
    assert why_no_place("carol", taken, OWNERS, places) is None
    assert taken.total() < places


def test_one_owner_alone_has_all_places() -> None:
    assert why_no_place("alice", {"alice": 15}, ["alice"], 16) is None
    assert why_no_place("alice", {"alice": 16}, ["alice"], 16) == "all 16 places for workers are taken"


def test_where_owners_are_more_than_places_each_has_one() -> None:
    assert why_no_place("alice", {}, OWNERS, 2) is None
    assert "kept for other owners" in str(why_no_place("alice", {"alice": 1}, OWNERS, 2))
