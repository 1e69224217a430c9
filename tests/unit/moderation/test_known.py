"""The lists of one decision: the latest, restricted to the banks of a source."""

from __future__ import annotations

from datetime import UTC, datetime

from serve_app.domain.lists import Bank
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.moderation.known import KnownPictures

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def test_lists_are_restricted_once_for_the_same_banks_until_they_change() -> None:
    store = MemoryListStore()
    store.put_bank(Bank("ours"))
    lists = LiveLists(store, None, wall_clock=lambda: NOW)
    known = KnownPictures(lists, lambda: NOW)
    assert known.snapshot() is lists.snapshot
    ours, theirs = known.snapshot(["ours"]), known.snapshot(["theirs"])
    assert ours is known.snapshot(["ours"])
    assert theirs is known.snapshot(["theirs"])
    assert len({id(each) for each in (ours, theirs, lists.snapshot)}) == 3
    store.put_bank(Bank("more"))
    lists.refresh()
    assert known.snapshot() is lists.snapshot
    changed = known.snapshot(["ours"])
    assert changed is not None
    assert (changed.version, "more" in changed.banks) == (lists.snapshot.version, True)
