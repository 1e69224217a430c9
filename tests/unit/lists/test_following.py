"""Small changes are followed whatever else changes and whenever a base is built, and in the end nothing is missing."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.lists import following
from serve_app.lists.base import Bases
from serve_app.lists.following import Following
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.partition import partition_of
from serve_app.lists.snapshot import Snapshot

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
SMALL = 3
"""Changes that are read at once; a larger import waits for the next base."""


LARGE = range(100, 100 + 2 * SMALL)
NUMBERS = [*range(10), *LARGE]


def _sha256(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def _draft(number: int) -> EntryDraft:
    fingerprint = Fingerprint(FingerprintType.SHA256, _sha256(number))
    return EntryDraft(kind=ListKind.DENY, fingerprint=fingerprint, bank="ours", reason="known")


class Followed:
    """Lists that are followed, and what of them must be in force."""

    def __init__(self) -> None:
        self.store = MemoryListStore()
        self.bases = Bases(self.store, None)
        self.following = Following(self.store)
        self.shown = Snapshot(0, {}, partition_of([]), partition_of([]))
        self.bases.build(waits=True)
        self.missing: set[int] = set()
        self.read()

    def read(self) -> None:
        origin = self.store.origin()
        self.shown = self.following.read(self.bases.newest(self.following.base, origin), origin, self.shown)

    def act(self, action: str, numbers: list[int]) -> None:
        """Have something happen, and read the lists."""
        ids = {each.fingerprint.digest: each.id for each in self.store.page()}
        match action:
            case "import":
                self.store.add(map(_draft, LARGE))
                self.missing = set(LARGE)
            case "add":
                self.store.add(map(_draft, numbers))
            case "remove":
                self.store.remove(ids[digest] for number in numbers if (digest := _sha256(number)) in ids)
            case _:
                self.bases.build(waits=True)
        self.read()

    def in_force(self) -> set[int]:
        return {
            number
            for number in NUMBERS
            if self.shown.exact({FingerprintType.SHA256: _sha256(number)}, NOW).deciding is not None
        }

    def stored(self) -> set[int]:
        digests = {each.fingerprint.digest for each in self.store.page()}
        return {number for number in NUMBERS if _sha256(number) in digests}


_actions = st.lists(
    st.tuples(
        st.sampled_from(["import", "add", "remove", "build"]),
        st.lists(st.integers(0, 9), min_size=1, max_size=SMALL, unique=True),
    ),
    max_size=12,
)


@given(_actions)
def test_small_changes_are_followed_whatever_else_goes_on(actions: list[tuple[str, list[int]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "MAX_CHANGES", SMALL)
        patch.setattr(following, "MAX_HELD", 1000)
        lists = Followed()
        for action, numbers in actions:
            lists.act(action, numbers)
            assert lists.in_force() - lists.missing == lists.stored() - lists.missing
            if lists.following.is_complete:
                assert (lists.in_force(), lists.shown.version) == (lists.stored(), lists.store.origin().version)
        lists.act("build", [])
        assert lists.in_force() == lists.stored()
        assert not lists.following.needs_base


def test_a_store_that_is_another_one_now_shows_the_old_lists_until_there_is_a_base_of_it() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "MAX_CHANGES", SMALL)
        lists = Followed()
        lists.act("add", [1])
        lists.store = another = MemoryListStore()
        lists.bases, lists.following._store = Bases(another, None), another
        lists.act("import", [])
        assert (lists.in_force(), lists.following.needs_base) == ({1}, True)
        lists.act("build", [])
        assert lists.in_force() == lists.missing
