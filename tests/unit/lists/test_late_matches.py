"""Pictures that were let through moments before an entry that denies them."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from serve_app.domain import FrameFingerprint
from serve_app.domain.lists import Bank, EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.lists.live import LiveLists
from serve_app.lists.recent import REMEMBERED_S, DecidedPicture
from serve_app.lists.snapshot import Snapshot
from tests.unit.lists.stored import NOW, Held, Store, asked, draft, pdq_draft, sha256


def test_changes_work_while_recent_pictures_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    store, held = Store(), Held()
    lists = LiveLists(store, wall_clock=lambda: NOW)
    frame = FrameFingerprint(0, 90, b"".join(sha256(number) for number in range(8)))
    lists.decided(DecidedPicture("r-1", sha256(1).hex(), 0, True, [frame]), None)
    store.add([pdq_draft(5)])
    lists.refresh()
    with ThreadPoolExecutor(1) as comparing, held:
        monkeypatch.setattr(Snapshot, "nearest", held)
        comparing.submit(lists.take_late_matches)
        assert held.is_reached.wait(30)
        store.add([draft(2)])
        lists.refresh()
        assert asked(lists, 2) is not None


def test_the_comparison_goes_on_where_it_left_off_and_forgets_nobody_meanwhile() -> None:
    """Each picture takes a second, and a minute passes before the first one is compared."""
    now_s = itertools.count()
    lists = LiveLists(Store(), clock=lambda: float(next(now_s)), wall_clock=lambda: NOW)
    for number in range(5):
        lists.decided(DecidedPicture(f"r-{number}", sha256(number).hex(), 0, True), None)
    lists.store.add(draft(number) for number in range(5))
    lists.refresh()
    for _ in range(int(REMEMBERED_S)):
        next(now_s)
    calls, told = 0, list[str]()
    while late := lists.take_late_matches():
        calls += 1
        told += [each.picture.request_id for each in late]
    assert told == [f"r-{number}" for number in range(5)]
    assert calls > 1


@pytest.mark.usefixtures("small_deltas")
def test_pictures_are_remembered_until_a_large_change_works() -> None:
    now_s = 0.0
    store = Store()
    lists = LiveLists(store, clock=lambda: now_s, wall_clock=lambda: NOW)
    # No thread builds: the start has just done so.
    lists.decided(DecidedPicture("r-1", sha256(119).hex(), 0, kept=True), None)
    store.add(draft(number) for number in range(100, 120))
    lists.refresh()
    now_s = REMEMBERED_S + 1.0
    lists.decided(DecidedPicture("r-2", sha256(118).hex(), lists.snapshot.version, kept=True), None)
    assert lists.take_late_matches() == []
    lists.complete()
    assert [late.picture.request_id for late in lists.take_late_matches()] == ["r-1", "r-2"]


def test_a_late_match_is_told_once_whatever_changes_after_it() -> None:
    store = Store()
    lists = LiveLists(store, wall_clock=lambda: NOW)
    lists.decided(DecidedPicture("r-1", sha256(1).hex(), 0, kept=True), None)
    store.add([draft(1)])
    lists.refresh()
    assert [late.picture.request_id for late in lists.take_late_matches()] == ["r-1"]
    store.add([draft(2)])
    lists.refresh()
    # This decision began before both changes: all that waits is compared with both.
    lists.decided(DecidedPicture("r-2", sha256(3).hex(), 0, kept=True), None)
    assert lists.take_late_matches() == []


def test_a_picture_let_through_moments_before_its_entry_is_told() -> None:
    store = Store()
    lists = LiveLists(store, wall_clock=lambda: NOW)
    hashes = b"".join(sha256(number) for number in range(8))
    lists.decided(DecidedPicture("r-1", sha256(1).hex(), 0, True, [FrameFingerprint(0, 90, hashes)]), None)
    lists.decided(DecidedPicture("r-2", sha256(2).hex(), 0, True), None)
    lists.decided(DecidedPicture("r-3", sha256(3).hex(), 0, True), None)
    pdq = EntryDraft(
        kind=ListKind.DENY, fingerprint=Fingerprint(FingerprintType.PDQ, sha256(5)), bank="ours", reason="known"
    )
    store.add([pdq, draft(2), draft(3, bank="trial")])
    store.put_bank(Bank("trial", is_shadow=True))
    lists.refresh()
    assert sorted(late.picture.request_id for late in lists.take_late_matches()) == ["r-1", "r-2"]


def test_a_picture_is_told_late_by_the_digests_that_its_decision_computed() -> None:
    store = Store()
    md5, other = (Fingerprint(FingerprintType.MD5, bytes([number]) * 16) for number in (1, 2))
    store.add([replace(draft(0), fingerprint=other)])
    lists = LiveLists(store, wall_clock=lambda: NOW)
    assert lists.snapshot.other_digests == (FingerprintType.MD5,)
    computed = {FingerprintType.MD5: md5.digest}
    lists.decided(DecidedPicture("r-1", sha256(1).hex(), 1, True, other_digests=computed), None)
    lists.decided(DecidedPicture("r-2", sha256(2).hex(), 1, True), None)
    store.add([replace(draft(0), fingerprint=md5)])
    lists.refresh()
    assert [late.picture.request_id for late in lists.take_late_matches()] == ["r-1"]


def test_a_picture_whose_decision_ends_after_the_refresh_is_told_once_and_also_after_a_failure() -> None:
    store = Store()
    lists = LiveLists(store, wall_clock=lambda: NOW)
    in_use = lists.snapshot
    store.add([draft(1)])
    lists.refresh()
    lists.decided(DecidedPicture("r-1", sha256(1).hex(), in_use.version, True), None)
    store.fails_at_changes = True
    with pytest.raises(ConnectionError):
        lists.take_late_matches()
    store.fails_at_changes = False
    assert [late.picture.request_id for late in lists.take_late_matches()] == ["r-1"]
    lists.refresh()
    assert lists.take_late_matches() == []
