"""Entries that suddenly match far more pictures than before."""

import errno
from dataclasses import replace

import pytest

from serve_app.domain import FrameFingerprint
from serve_app.domain.canary import CANARY_PDQ
from serve_app.domain.lists import EntryDraft, FingerprintType, KnownEntry, ListKind, Match
from serve_app.lists.flood_guard import LEARNING_S, MIN_MATCHES, FloodGuard
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.recent import DecidedPicture
from tests.unit.lists.stored import NOW, Store, asked, draft, pdq_draft, sha256


class _Flooded:
    """Lists with one entry, which suddenly matches many pictures, long after the start."""

    def __init__(self, entry: EntryDraft, match: Match) -> None:
        self.store = Store()
        (self.entry_id,) = self.store.add([entry]).first_ids
        self._now_s = 0.0
        self.lists = LiveLists(self.store, clock=lambda: self._now_s, wall_clock=lambda: NOW)
        self._now_s = LEARNING_S
        self._match = match

    def flood(self, kept_by_policy: bool = True) -> None:
        for number in range(MIN_MATCHES):
            picture = DecidedPicture("r", sha256(number).hex(), 1, False, kept_by_policy=kept_by_policy)
            self.lists.decided(picture, self._match)
        self.lists.refresh()

    def suspended(self) -> bool:
        return bool(self.store.page(is_suspended=True))


def _match(type_: FingerprintType) -> Match:
    return Match(KnownEntry(1, ListKind.DENY, "ours", "known"), type_)


def test_an_entry_that_floods_is_suspended_until_a_person_confirms_it() -> None:
    flooded = _Flooded(pdq_draft(1), _match(FingerprintType.PDQ))
    flooded.flood()
    assert flooded.suspended()
    assert flooded.lists.problem == "have 1 suspended entries, which match nothing"
    flooded.store.confirm([flooded.entry_id])
    flooded.flood()
    assert not flooded.suspended()
    assert LiveLists(flooded.store).problem is None


def test_a_store_that_cannot_be_written_is_followed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    flooded = _Flooded(pdq_draft(1), _match(FingerprintType.PDQ))
    flooded.store.add([draft(2)])

    def full(_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on the device")

    monkeypatch.setattr(flooded.store, "suspend", full)
    with pytest.raises(OSError, match="no space"):
        flooded.flood()
    assert asked(flooded.lists, 2) is not None


def test_an_entry_is_not_suspended_for_pictures_that_the_policy_refuses_too() -> None:
    flooded = _Flooded(pdq_draft(1), _match(FingerprintType.PDQ))
    flooded.flood(kept_by_policy=False)
    assert not flooded.suspended()
    flooded.flood()
    assert flooded.suspended()


def test_what_a_person_confirmed_is_never_suspended_nor_is_an_exact_entry() -> None:
    for entry, type_ in (
        (replace(pdq_draft(1), is_confirmed=True), FingerprintType.PDQ),
        (draft(1), FingerprintType.SHA256),
    ):
        flooded = _Flooded(entry, _match(type_))
        flooded.flood()
        assert not flooded.suspended()


def test_the_canary_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = LiveLists(MemoryListStore(), wall_clock=lambda: NOW)
    of_the_canary = [FrameFingerprint(0, 100, CANARY_PDQ + bytes(224))]
    found = lists.snapshot.nearest(of_the_canary, NOW).deciding
    guard = FloodGuard(lambda: 0.0)
    monkeypatch.setattr(guard, "picture", lambda sha256, entry: pytest.fail("it was counted"))
    monkeypatch.setattr(lists, "_guard", guard)
    lists.decided(DecidedPicture("r", sha256(1).hex(), 0, False), found)


def test_suspended_entries_are_counted_again_where_counting_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    (entry, *_) = store.add([pdq_draft(1)]).first_ids
    lists = LiveLists(store, wall_clock=lambda: NOW)
    store.suspend([entry])

    def locked() -> int:
        raise OSError(errno.EIO, "the database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(store, "suspended_count", locked)
        with pytest.raises(OSError, match="locked"):
            lists.refresh()
    lists.refresh()
    assert "1 suspended" in (lists.problem or "")
