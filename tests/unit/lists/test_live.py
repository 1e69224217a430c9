"""The lists of a process follow their store, whatever becomes of the index and of the store."""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serve_app.database.location import locate
from serve_app.domain import ConfigurationError, FrameFingerprint
from serve_app.domain.canary import CANARY_PDQ
from serve_app.domain.lists import Bank, EntryDraft, Fingerprint, FingerprintType, KnownEntry, ListKind, Match, Matches
from serve_app.lists import Origin, PartitionBuilder, base, following, live, open_partition, write_partition
from serve_app.lists.flood_guard import LEARNING_S, MIN_MATCHES, FloodGuard
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.opening import open_lists
from serve_app.lists.recent import REMEMBERED_S, DecidedPicture
from serve_app.lists.removals import KNOWN_FOR
from serve_app.lists.snapshot import Snapshot
from serve_app.lists.store import Changes, Everything

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)


class _Store(MemoryListStore):
    """Fails when told to, as a database does."""

    is_down = False
    fails_at_changes = False
    most_changes = 0

    def changes_since(self, version: int) -> Changes:
        if self.fails_at_changes:
            raise ConnectionError("the database does not answer")
        changes = super().changes_since(version)
        self.most_changes = max(self.most_changes, len(changes.entries) + len(changes.removed))
        return changes

    @contextlib.contextmanager
    def everything(self) -> Iterator[Everything]:
        """Without :meth:`changes_since`, which it counts."""
        changes = super().changes_since(0)
        yield Everything(changes.version, changes.banks, iter(changes.entries))

    def origin(self) -> Origin:
        if self.is_down:
            raise ConnectionError("the database does not answer")
        return super().origin()


def _draft(number: int, kind: ListKind = ListKind.DENY, bank: str = "ours") -> EntryDraft:
    fingerprint = Fingerprint(FingerprintType.SHA256, _sha256(number))
    return EntryDraft(kind=kind, fingerprint=fingerprint, bank=bank, reason="known")


def _sha256(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def _asked(lists: LiveLists, number: int) -> Match | None:
    return lists.snapshot.exact({FingerprintType.SHA256: _sha256(number)}, NOW).deciding


@pytest.fixture(params=["memory", "mapped"])
def make_lists(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[MemoryListStore], LiveLists]:
    index = tmp_path / "lists.index" if request.param == "mapped" else None
    return lambda store: LiveLists(store, index, wall_clock=lambda: NOW)


def test_changes_work_after_a_refresh_and_not_in_a_snapshot_that_is_in_use(
    make_lists: Callable[[MemoryListStore], LiveLists],
) -> None:
    store = _Store()
    (first,) = store.add([_draft(1)]).first_ids
    lists = make_lists(store)
    in_use = lists.snapshot
    assert _asked(lists, 1) is not None
    store.add([_draft(2)])
    store.remove([first])
    lists.refresh()
    assert _asked(lists, 1) is None
    assert _asked(lists, 2) is not None
    assert in_use.exact({FingerprintType.SHA256: _sha256(1)}, NOW).deciding is not None
    assert lists.snapshot.version == store.origin().version
    store.put_bank(Bank("ours", is_shadow=True))
    lists.refresh()
    assert _asked(lists, 2) is None


def test_a_second_process_maps_what_the_first_has_built(tmp_path: Path) -> None:
    index, store = tmp_path / "lists.index", _Store()
    store.add(_draft(number) for number in range(100))
    first = LiveLists(store, index, wall_clock=lambda: NOW)
    built = index.stat()
    second = LiveLists(store, index, wall_clock=lambda: NOW)
    assert index.stat() == built
    assert _asked(first, 50) == _asked(second, 50) != None  # noqa: E711 - in one chain


@pytest.fixture
def small_deltas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_CHANGES", 10)
    monkeypatch.setattr(following, "MAX_CHANGES", 10)


@pytest.mark.usefixtures("small_deltas")
def test_a_large_change_becomes_part_of_the_index_and_is_never_in_memory(tmp_path: Path) -> None:
    index, store = tmp_path / "lists.index", _Store()
    lists = LiveLists(store, index, wall_clock=lambda: NOW)
    assert len(open_partition(index).partition) == 0
    store.add(_draft(number) for number in range(20))
    lists.decided(DecidedPicture("r-1", _sha256(19).hex(), 0, kept=True), None)
    lists.complete()
    assert _asked(lists, 19) is not None
    assert len(open_partition(index).partition) == 20
    assert [late.picture.request_id for late in lists.take_late_matches()] == ["r-1"]
    store.remove([1])
    lists.refresh()
    assert _asked(lists, 0) is None
    assert _asked(lists, 19) is not None
    store.add(_draft(number) for number in range(100, 120))
    assert _asked(LiveLists(store, index, wall_clock=lambda: NOW), 119) is not None
    assert store.most_changes <= 10


@pytest.mark.usefixtures("small_deltas")
def test_an_index_that_another_process_built_before_a_large_change_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, store = tmp_path / "lists.index", _Store()
    lists = LiveLists(store, index, wall_clock=lambda: NOW)
    build, before = base.Bases.build, store.origin()

    def overtaken(bases: base.Bases, *, waits: bool) -> None:
        monkeypatch.setattr(base.Bases, "build", build)
        write_partition(PartitionBuilder(), before, [], index)

    monkeypatch.setattr(base.Bases, "build", overtaken)
    store.add(_draft(number) for number in range(20))
    lists.complete()
    assert _asked(lists, 19) is not None
    assert store.most_changes <= 10


@pytest.mark.usefixtures("small_deltas")
def test_an_index_that_cannot_be_written_keeps_no_change_from_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _Store()
    lists = LiveLists(store, tmp_path / "lists.index", wall_clock=lambda: NOW)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on the device")

    monkeypatch.setattr(base, "write_partition", full)
    store.add(_draft(number) for number in range(20))
    lists.complete()
    assert _asked(lists, 19) is not None


class _Held:
    """Holds up whoever calls, until the block ends."""

    def __init__(self) -> None:
        self.is_reached, self._is_over = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._is_over.set()

    def __call__(self, *_: object) -> Matches:
        self.is_reached.set()
        self._is_over.wait()
        return Matches()


@pytest.mark.usefixtures("small_deltas")
def test_small_changes_work_while_a_base_is_built(
    make_lists: Callable[[MemoryListStore], LiveLists], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, everything, held = _Store(), _Store.everything, _Held()
    (old,) = store.add([_draft(1)]).first_ids
    lists = make_lists(store)
    monkeypatch.setattr(live, "_BUILT_AGAIN_S", -1.0)

    def everything_slowly(self: _Store) -> contextlib.AbstractContextManager[Everything]:
        held()
        return everything(self)

    monkeypatch.setattr(_Store, "everything", everything_slowly)
    with held:
        complete = lists.snapshot.version
        store.add(_draft(number) for number in range(100, 120))
        lists.refresh()
        assert held.is_reached.wait(30)
        store.add([_draft(2), _draft(3)])
        store.remove([old])
        lists.refresh()
        assert [_asked(lists, number) is not None for number in (1, 2, 3, 119)] == [False, True, True, False]
        assert lists.snapshot.version == complete, "a large change is missing"
    lists.complete()
    assert [_asked(lists, number) is not None for number in (1, 2, 3, 119)] == [False, True, True, True]
    assert lists.snapshot.version == store.origin().version


@pytest.mark.usefixtures("small_deltas")
def test_small_changes_work_while_another_process_builds_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, store = tmp_path / "lists.index", _Store()
    lists = LiveLists(store, index, wall_clock=lambda: NOW)
    monkeypatch.setattr(live, "_BUILT_AGAIN_S", -1.0)
    with index.with_name("lists.index.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        store.add(_draft(number) for number in range(100, 120))
        lists.refresh()
        store.add([_draft(1)])
        lists.refresh()
        assert _asked(lists, 1) is not None
    lists.complete()
    assert _asked(lists, 119) is not None


def test_changes_work_while_recent_pictures_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    store, held = _Store(), _Held()
    lists = LiveLists(store, wall_clock=lambda: NOW)
    frame = FrameFingerprint(0, 90, b"".join(_sha256(number) for number in range(8)))
    lists.decided(DecidedPicture("r-1", _sha256(1).hex(), 0, True, [frame]), None)
    store.add([_pdq_draft(5)])
    lists.refresh()
    with ThreadPoolExecutor(1) as comparing, held:
        monkeypatch.setattr(Snapshot, "nearest", held)
        comparing.submit(lists.take_late_matches)
        assert held.is_reached.wait(30)
        store.add([_draft(2)])
        lists.refresh()
        assert _asked(lists, 2) is not None


def test_the_comparison_goes_on_where_it_left_off_and_forgets_nobody_meanwhile() -> None:
    """Each picture takes a second, and a minute passes before the first one is compared."""
    now_s = itertools.count()
    lists = LiveLists(_Store(), clock=lambda: float(next(now_s)), wall_clock=lambda: NOW)
    for number in range(5):
        lists.decided(DecidedPicture(f"r-{number}", _sha256(number).hex(), 0, True), None)
    lists.store.add(_draft(number) for number in range(5))
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
    store = _Store()
    lists = LiveLists(store, clock=lambda: now_s, wall_clock=lambda: NOW)
    # No thread builds: the start has just done so.
    lists.decided(DecidedPicture("r-1", _sha256(119).hex(), 0, kept=True), None)
    store.add(_draft(number) for number in range(100, 120))
    lists.refresh()
    now_s = REMEMBERED_S + 1.0
    lists.decided(DecidedPicture("r-2", _sha256(118).hex(), lists.snapshot.version, kept=True), None)
    assert lists.take_late_matches() == []
    lists.complete()
    assert [late.picture.request_id for late in lists.take_late_matches()] == ["r-1", "r-2"]


def test_a_late_match_is_told_once_whatever_changes_after_it() -> None:
    store = _Store()
    lists = LiveLists(store, wall_clock=lambda: NOW)
    lists.decided(DecidedPicture("r-1", _sha256(1).hex(), 0, kept=True), None)
    store.add([_draft(1)])
    lists.refresh()
    assert [late.picture.request_id for late in lists.take_late_matches()] == ["r-1"]
    store.add([_draft(2)])
    lists.refresh()
    # This decision began before both changes: all that waits is compared with both.
    lists.decided(DecidedPicture("r-2", _sha256(3).hex(), 0, kept=True), None)
    assert lists.take_late_matches() == []


def test_suspended_entries_are_counted_again_where_counting_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = _Store()
    (entry, *_) = store.add([_pdq_draft(1)]).first_ids
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


def test_what_a_killed_process_left_of_an_index_is_removed(tmp_path: Path) -> None:
    left, others = tmp_path / ".lists.index-abcd1234", tmp_path / ".other.index-abcd1234"
    for folder in (left, others):
        folder.mkdir()
        Path(folder, "unfinished").write_bytes(b"half of it")
    LiveLists(_Store(), tmp_path / "lists.index")
    assert (left.exists(), others.exists()) == (False, True)


@pytest.mark.parametrize("damage", ["nothing", "truncated", "other lists", "newer"])
def test_an_index_that_cannot_be_used_is_built_again(tmp_path: Path, damage: str) -> None:
    index, store = tmp_path / "lists.index", _Store()
    store.add([_draft(1)])
    if damage == "truncated":
        LiveLists(store, index)
        index.write_bytes(index.read_bytes()[: (1 << 20) + 10])
    elif damage == "other lists":
        write_partition(PartitionBuilder(), Origin("others", 1), [], index)
    elif damage == "newer":
        write_partition(PartitionBuilder(), Origin(store.origin().lineage, 99), [], index)
    else:
        index.write_bytes(b"")
    assert _asked(LiveLists(store, index, wall_clock=lambda: NOW), 1) is not None
    assert len(open_partition(index).partition) == 1


def test_a_process_starts_with_the_index_while_the_store_does_not_answer(tmp_path: Path) -> None:
    index, store = tmp_path / "lists.index", _Store()
    store.add([_draft(1), _draft(2, bank="trial")])
    store.put_bank(Bank("trial", is_shadow=True))
    LiveLists(store, index)
    store.is_down = True
    lists = LiveLists(store, index, wall_clock=lambda: NOW)
    assert _asked(lists, 1) is not None
    assert _asked(lists, 2) is None
    assert lists.problem is not None
    store.is_down = False
    store.add([_draft(3)])
    lists.refresh()
    assert _asked(lists, 3) is not None


def test_without_a_store_and_an_index_no_process_starts(tmp_path: Path) -> None:
    store = _Store()
    store.is_down = True
    with pytest.raises(ConfigurationError, match=r"cannot be read from the database \(the connection failed\)"):
        LiveLists(store, tmp_path / "lists.index")


def test_a_store_that_fails_later_leaves_the_lists_as_they_are() -> None:
    store = _Store()
    store.add([_draft(1)])
    lists = LiveLists(store, wall_clock=lambda: NOW)
    store.is_down = True
    with pytest.raises(ConnectionError):
        lists.refresh()
    assert _asked(lists, 1) is not None


def test_a_picture_let_through_moments_before_its_entry_is_told() -> None:
    store = _Store()
    lists = LiveLists(store, wall_clock=lambda: NOW)
    hashes = b"".join(_sha256(number) for number in range(8))
    lists.decided(DecidedPicture("r-1", _sha256(1).hex(), 0, True, [FrameFingerprint(0, 90, hashes)]), None)
    lists.decided(DecidedPicture("r-2", _sha256(2).hex(), 0, True), None)
    lists.decided(DecidedPicture("r-3", _sha256(3).hex(), 0, True), None)
    pdq = EntryDraft(
        kind=ListKind.DENY, fingerprint=Fingerprint(FingerprintType.PDQ, _sha256(5)), bank="ours", reason="known"
    )
    store.add([pdq, _draft(2), _draft(3, bank="trial")])
    store.put_bank(Bank("trial", is_shadow=True))
    lists.refresh()
    assert sorted(late.picture.request_id for late in lists.take_late_matches()) == ["r-1", "r-2"]


def test_a_picture_is_told_late_by_the_digests_that_its_decision_computed() -> None:
    store = _Store()
    md5, other = (Fingerprint(FingerprintType.MD5, bytes([number]) * 16) for number in (1, 2))
    store.add([replace(_draft(0), fingerprint=other)])
    lists = LiveLists(store, wall_clock=lambda: NOW)
    assert lists.snapshot.other_digests == (FingerprintType.MD5,)
    computed = {FingerprintType.MD5: md5.digest}
    lists.decided(DecidedPicture("r-1", _sha256(1).hex(), 1, True, other_digests=computed), None)
    lists.decided(DecidedPicture("r-2", _sha256(2).hex(), 1, True), None)
    store.add([replace(_draft(0), fingerprint=md5)])
    lists.refresh()
    assert [late.picture.request_id for late in lists.take_late_matches()] == ["r-1"]


@pytest.mark.parametrize("was_off", [True, False])
def test_a_process_that_was_away_while_a_removal_was_forgotten_reads_everything_anew(
    tmp_path: Path, was_off: bool
) -> None:
    index, store = tmp_path / "lists.index", _Store()
    (removed, _) = store.add([_draft(1), _draft(2)]).first_ids
    lists = LiveLists(store, index, wall_clock=lambda: NOW)
    assert _asked(lists, 1) is not None
    store.remove([removed])
    for now in (NOW, NOW + KNOWN_FOR):
        store.forget_removals(now)
    assert not store.changes_since(0).removed, "nobody can tell this process which entry is gone"
    store.add([_draft(3)])
    if was_off:
        lists = LiveLists(store, index, wall_clock=lambda: NOW)
    else:
        lists.refresh()
    assert [_asked(lists, number) is not None for number in (1, 2, 3)] == [False, True, True]
    lists.complete()  # as the thread that builds does a moment later
    assert open_partition(index).origin == store.origin()


def test_it_reads_everything_also_where_the_index_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _Store()
    (removed, _) = store.add([_draft(1), _draft(2)]).first_ids
    lists = LiveLists(store, tmp_path / "lists.index", wall_clock=lambda: NOW)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on the device")

    monkeypatch.setattr("serve_app.lists.base.write_partition", full)
    store.remove([removed])
    for now in (NOW, NOW + KNOWN_FOR):
        store.forget_removals(now)
    lists.refresh()
    assert [_asked(lists, number) is not None for number in (1, 2)] == [False, True]
    read = lists.snapshot
    lists.refresh()
    assert lists.snapshot is read, "once"


def test_the_thread_has_the_store_forget_old_removals_also_after_it_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.01)
    monkeypatch.setattr(live, "_HOUSE_KEPT_EVERY_S", 0.0)
    store, calls = _Store(), itertools.count()
    is_called_again = threading.Event()

    def forget(now: datetime) -> int:
        if next(calls) == 0:
            raise ConnectionError("the database does not answer")
        is_called_again.set()
        return 0

    monkeypatch.setattr(store, "forget_removals", forget)
    lists = LiveLists(store, wall_clock=lambda: NOW)
    lists.start()
    assert is_called_again.wait(30)
    lists.close()


def test_a_picture_whose_decision_ends_after_the_refresh_is_told_once_and_also_after_a_failure() -> None:
    store = _Store()
    lists = LiveLists(store, wall_clock=lambda: NOW)
    in_use = lists.snapshot
    store.add([_draft(1)])
    lists.refresh()
    lists.decided(DecidedPicture("r-1", _sha256(1).hex(), in_use.version, True), None)
    store.fails_at_changes = True
    with pytest.raises(ConnectionError):
        lists.take_late_matches()
    store.fails_at_changes = False
    assert [late.picture.request_id for late in lists.take_late_matches()] == ["r-1"]
    lists.refresh()
    assert lists.take_late_matches() == []


class _Flooded:
    """Lists with one entry, which suddenly matches many pictures, long after the start."""

    def __init__(self, entry: EntryDraft, match: Match) -> None:
        self.store = _Store()
        (self.entry_id,) = self.store.add([entry]).first_ids
        self._now_s = 0.0
        self.lists = LiveLists(self.store, clock=lambda: self._now_s, wall_clock=lambda: NOW)
        self._now_s = LEARNING_S
        self._match = match

    def flood(self, kept_by_policy: bool = True) -> None:
        for number in range(MIN_MATCHES):
            picture = DecidedPicture("r", _sha256(number).hex(), 1, False, kept_by_policy=kept_by_policy)
            self.lists.decided(picture, self._match)
        self.lists.refresh()

    def suspended(self) -> bool:
        return bool(self.store.page(is_suspended=True))


def _pdq_draft(number: int) -> EntryDraft:
    fingerprint = Fingerprint(FingerprintType.PDQ, _sha256(number))
    return EntryDraft(kind=ListKind.DENY, fingerprint=fingerprint, bank="ours", reason="known")


def _match(type_: FingerprintType) -> Match:
    return Match(KnownEntry(1, ListKind.DENY, "ours", "known"), type_)


def test_an_entry_that_floods_is_suspended_until_a_person_confirms_it() -> None:
    flooded = _Flooded(_pdq_draft(1), _match(FingerprintType.PDQ))
    flooded.flood()
    assert flooded.suspended()
    assert flooded.lists.problem == "have 1 suspended entries, which match nothing"
    flooded.store.confirm([flooded.entry_id])
    flooded.flood()
    assert not flooded.suspended()
    assert LiveLists(flooded.store).problem is None


def test_a_store_that_cannot_be_written_is_followed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    flooded = _Flooded(_pdq_draft(1), _match(FingerprintType.PDQ))
    flooded.store.add([_draft(2)])

    def full(_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on the device")

    monkeypatch.setattr(flooded.store, "suspend", full)
    with pytest.raises(OSError, match="no space"):
        flooded.flood()
    assert _asked(flooded.lists, 2) is not None


def test_an_entry_is_not_suspended_for_pictures_that_the_policy_refuses_too() -> None:
    flooded = _Flooded(_pdq_draft(1), _match(FingerprintType.PDQ))
    flooded.flood(kept_by_policy=False)
    assert not flooded.suspended()
    flooded.flood()
    assert flooded.suspended()


def test_what_a_person_confirmed_is_never_suspended_nor_is_an_exact_entry() -> None:
    for entry, type_ in (
        (replace(_pdq_draft(1), is_confirmed=True), FingerprintType.PDQ),
        (_draft(1), FingerprintType.SHA256),
    ):
        flooded = _Flooded(entry, _match(type_))
        flooded.flood()
        assert not flooded.suspended()


def test_the_thread_follows_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.01)
    store = _Store()
    lists = LiveLists(store, wall_clock=lambda: NOW)
    lists.start()
    store.add([_draft(1)])
    while _asked(lists, 1) is None:
        pass
    lists.close()


def test_the_thread_first_erases_what_a_killed_import_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    store, is_erased = _Store(), threading.Event()

    def erase() -> None:
        is_erased.set()
        raise ConnectionError("the database does not answer")

    monkeypatch.setattr(store, "erase_unfinished", erase)
    monkeypatch.setattr(live, "POLL_S", 0.01)
    lists = LiveLists(store, wall_clock=lambda: NOW)
    lists.start()
    assert is_erased.wait(30)
    store.add([_draft(1)])
    while _asked(lists, 1) is None:
        pass
    lists.close()


def test_the_canary_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = LiveLists(MemoryListStore(), wall_clock=lambda: NOW)
    of_the_canary = [FrameFingerprint(0, 100, CANARY_PDQ + bytes(224))]
    found = lists.snapshot.nearest(of_the_canary, NOW).deciding
    guard = FloodGuard(lambda: 0.0)
    monkeypatch.setattr(guard, "picture", lambda sha256, entry: pytest.fail("it was counted"))
    monkeypatch.setattr(lists, "_guard", guard)
    lists.decided(DecidedPicture("r", _sha256(1).hex(), 0, False), found)


def test_closed_it_leaves_no_file_of_its_database_open(tmp_path: Path) -> None:
    location = locate(str(tmp_path / "ledger.db"))
    assert location is not None
    lists = open_lists(location)
    lists.start()
    lists.store.add([_draft(1)])
    lists.close()
    assert not list(tmp_path.glob("*-wal"))
