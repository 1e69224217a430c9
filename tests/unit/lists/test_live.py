"""The lists of a process follow their store, whatever becomes of the index and of the store."""

import contextlib
import errno
import fcntl
import itertools
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from serve_app.database.location import locate
from serve_app.domain import ConfigurationError
from serve_app.domain.lists import Bank, FingerprintType, ListsHealth
from serve_app.lists import Origin, PartitionBuilder, base, live, open_partition, write_partition
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.opening import open_lists
from serve_app.lists.recent import DecidedPicture
from serve_app.lists.removals import KNOWN_FOR
from serve_app.lists.store import Everything
from tests.unit.lists.stored import NOW, Held, Store, asked, draft, sha256


@pytest.fixture(params=["memory", "mapped"])
def make_lists(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[MemoryListStore], LiveLists]:
    index = tmp_path / "lists.index" if request.param == "mapped" else None
    return lambda store: LiveLists(store, index, wall_clock=lambda: NOW)


def test_changes_work_after_a_refresh_and_not_in_a_snapshot_that_is_in_use(
    make_lists: Callable[[MemoryListStore], LiveLists],
) -> None:
    store = Store()
    (first,) = store.add([draft(1)]).first_ids
    lists = make_lists(store)
    in_use = lists.snapshot
    assert asked(lists, 1) is not None
    store.add([draft(2)])
    store.remove([first])
    lists.refresh()
    assert asked(lists, 1) is None
    assert asked(lists, 2) is not None
    assert in_use.exact({FingerprintType.SHA256: sha256(1)}, NOW).deciding is not None
    assert lists.snapshot.version == store.origin().version
    store.put_bank(Bank("ours", is_shadow=True))
    lists.refresh()
    assert asked(lists, 2) is None


def test_a_second_process_maps_what_the_first_has_built(tmp_path: Path) -> None:
    index, store = tmp_path / "lists.index", Store()
    store.add(draft(number) for number in range(100))
    first = LiveLists(store, index, wall_clock=lambda: NOW)
    built = index.stat()
    second = LiveLists(store, index, wall_clock=lambda: NOW)
    assert (index.stat().st_ino, index.stat().st_mtime_ns) == (built.st_ino, built.st_mtime_ns)
    assert asked(first, 50) == asked(second, 50) != None  # noqa: E711 - in one chain


@pytest.mark.usefixtures("small_deltas")
def test_a_large_change_becomes_part_of_the_index_and_is_never_in_memory(tmp_path: Path) -> None:
    index, store = tmp_path / "lists.index", Store()
    lists = LiveLists(store, index, wall_clock=lambda: NOW)
    assert len(open_partition(index).partition) == 0
    store.add(draft(number) for number in range(20))
    lists.decided(DecidedPicture("r-1", sha256(19).hex(), 0, kept=True), None)
    lists.complete()
    assert asked(lists, 19) is not None
    assert len(open_partition(index).partition) == 20
    assert [late.picture.request_id for late in lists.take_late_matches()] == ["r-1"]
    store.remove([1])
    lists.refresh()
    assert asked(lists, 0) is None
    assert asked(lists, 19) is not None
    store.add(draft(number) for number in range(100, 120))
    assert asked(LiveLists(store, index, wall_clock=lambda: NOW), 119) is not None
    assert store.most_changes <= 10


@pytest.mark.usefixtures("small_deltas")
def test_an_index_that_another_process_built_before_a_large_change_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, store = tmp_path / "lists.index", Store()
    lists = LiveLists(store, index, wall_clock=lambda: NOW)
    build, before = base.Bases.build, store.origin()

    def overtaken(bases: base.Bases, *, waits: bool) -> None:
        monkeypatch.setattr(base.Bases, "build", build)
        write_partition(PartitionBuilder(), before, [], index)

    monkeypatch.setattr(base.Bases, "build", overtaken)
    store.add(draft(number) for number in range(20))
    lists.complete()
    assert asked(lists, 19) is not None
    assert store.most_changes <= 10


@pytest.mark.usefixtures("small_deltas")
def test_an_index_that_cannot_be_written_keeps_no_change_from_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    lists = LiveLists(store, tmp_path / "lists.index", wall_clock=lambda: NOW)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on the device")

    monkeypatch.setattr(base, "write_partition", full)
    store.add(draft(number) for number in range(20))
    lists.complete()
    assert asked(lists, 19) is not None


@pytest.mark.usefixtures("small_deltas")
def test_small_changes_work_while_a_base_is_built(
    make_lists: Callable[[MemoryListStore], LiveLists], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, everything, held = Store(), Store.everything, Held()
    (old,) = store.add([draft(1)]).first_ids
    lists = make_lists(store)
    monkeypatch.setattr(live, "_BUILT_AGAIN_S", -1.0)

    def everything_slowly(self: Store) -> contextlib.AbstractContextManager[Everything]:
        held()
        return everything(self)

    monkeypatch.setattr(Store, "everything", everything_slowly)
    with held:
        complete = lists.snapshot.version
        store.add(draft(number) for number in range(100, 120))
        lists.refresh()
        assert held.is_reached.wait(30)
        store.add([draft(2), draft(3)])
        store.remove([old])
        lists.refresh()
        assert [asked(lists, number) is not None for number in (1, 2, 3, 119)] == [False, True, True, False]
        assert lists.snapshot.version == complete, "a large change is missing"
    lists.complete()
    assert [asked(lists, number) is not None for number in (1, 2, 3, 119)] == [False, True, True, True]
    assert lists.snapshot.version == store.origin().version


@pytest.mark.usefixtures("small_deltas")
def test_small_changes_work_while_another_process_builds_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, store = tmp_path / "lists.index", Store()
    lists = LiveLists(store, index, wall_clock=lambda: NOW)
    monkeypatch.setattr(live, "_BUILT_AGAIN_S", -1.0)
    with index.with_name("lists.index.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        store.add(draft(number) for number in range(100, 120))
        lists.refresh()
        store.add([draft(1)])
        lists.refresh()
        assert asked(lists, 1) is not None
    lists.complete()
    assert asked(lists, 119) is not None


def test_what_a_killed_process_left_of_an_index_is_removed(tmp_path: Path) -> None:
    left, others = tmp_path / ".lists.index-abcd1234", tmp_path / ".other.index-abcd1234"
    for folder in (left, others):
        folder.mkdir()
        Path(folder, "unfinished").write_bytes(b"half of it")
    LiveLists(Store(), tmp_path / "lists.index")
    assert (left.exists(), others.exists()) == (False, True)


@pytest.mark.parametrize("damage", ["nothing", "truncated", "other lists", "newer"])
def test_an_index_that_cannot_be_used_is_built_again(tmp_path: Path, damage: str) -> None:
    index, store = tmp_path / "lists.index", Store()
    store.add([draft(1)])
    if damage == "truncated":
        LiveLists(store, index)
        index.write_bytes(index.read_bytes()[: (1 << 20) + 10])
    elif damage == "other lists":
        write_partition(PartitionBuilder(), Origin("others", 1), [], index)
    elif damage == "newer":
        write_partition(PartitionBuilder(), Origin(store.origin().lineage, 99), [], index)
    else:
        index.write_bytes(b"")
    assert asked(LiveLists(store, index, wall_clock=lambda: NOW), 1) is not None
    assert len(open_partition(index).partition) == 1


def test_a_process_starts_with_the_index_while_the_store_does_not_answer(tmp_path: Path) -> None:
    index, store = tmp_path / "lists.index", Store()
    store.add([draft(1), draft(2, bank="trial")])
    store.put_bank(Bank("trial", is_shadow=True))
    LiveLists(store, index)
    store.is_down = True
    lists = LiveLists(store, index, wall_clock=lambda: NOW)
    assert asked(lists, 1) is not None
    assert asked(lists, 2) is None
    assert lists.problem is not None
    assert lists.health().problem == lists.problem


def test_the_age_of_the_lists_begins_when_they_were_last_read() -> None:
    now_s = [100.0]
    store = Store()
    lists = LiveLists(store, clock=lambda: now_s[0], wall_clock=lambda: NOW)
    now_s[0] += 30.0
    assert lists.health().age_s == 30.0
    lists.refresh()
    assert lists.health().age_s == 0.0, "nothing has changed"
    store.add([draft(1)])
    now_s[0] += 5.0
    lists.refresh()
    now_s[0] += 2.0
    assert lists.health() == ListsHealth(store.origin().version, age_s=2.0)
    store.is_down = True
    with pytest.raises(ConnectionError):
        lists.refresh()
    assert lists.health().age_s == 2.0
    store.is_down = False
    store.add([draft(3)])
    lists.refresh()
    assert asked(lists, 3) is not None


def test_without_a_store_and_an_index_no_process_starts(tmp_path: Path) -> None:
    store = Store()
    store.is_down = True
    with pytest.raises(ConfigurationError, match=r"cannot be read from the database \(the connection failed\)"):
        LiveLists(store, tmp_path / "lists.index")


def test_a_store_that_fails_later_leaves_the_lists_as_they_are() -> None:
    store = Store()
    store.add([draft(1)])
    lists = LiveLists(store, wall_clock=lambda: NOW)
    store.is_down = True
    with pytest.raises(ConnectionError):
        lists.refresh()
    assert asked(lists, 1) is not None


@pytest.mark.parametrize("was_off", [True, False])
def test_a_process_that_was_away_while_a_removal_was_forgotten_reads_everything_anew(
    tmp_path: Path, was_off: bool
) -> None:
    index, store = tmp_path / "lists.index", Store()
    (removed, _) = store.add([draft(1), draft(2)]).first_ids
    lists = LiveLists(store, index, wall_clock=lambda: NOW)
    assert asked(lists, 1) is not None
    store.remove([removed])
    for now in (NOW, NOW + KNOWN_FOR):
        store.forget_removals(now)
    assert not store.changes_since(0).removed, "nobody can tell this process which entry is gone"
    store.add([draft(3)])
    if was_off:
        lists = LiveLists(store, index, wall_clock=lambda: NOW)
    else:
        lists.refresh()
    assert [asked(lists, number) is not None for number in (1, 2, 3)] == [False, True, True]
    lists.complete()  # as the thread that builds does a moment later
    assert open_partition(index).origin == store.origin()


def test_it_reads_everything_also_where_the_index_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    (removed, _) = store.add([draft(1), draft(2)]).first_ids
    lists = LiveLists(store, tmp_path / "lists.index", wall_clock=lambda: NOW)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on the device")

    monkeypatch.setattr("serve_app.lists.base.write_partition", full)
    store.remove([removed])
    for now in (NOW, NOW + KNOWN_FOR):
        store.forget_removals(now)
    lists.refresh()
    assert [asked(lists, number) is not None for number in (1, 2)] == [False, True]
    read = lists.snapshot
    lists.refresh()
    assert lists.snapshot is read, "once"


def test_the_thread_has_the_store_forget_old_removals_also_after_it_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.01)
    monkeypatch.setattr(live, "_HOUSE_KEPT_EVERY_S", 0.0)
    store, calls = Store(), itertools.count()
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


def test_the_thread_follows_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.01)
    store = Store()
    lists = LiveLists(store, wall_clock=lambda: NOW)
    lists.start()
    store.add([draft(1)])
    while asked(lists, 1) is None:
        pass
    lists.close()


def test_the_thread_first_erases_what_a_killed_import_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    store, is_erased = Store(), threading.Event()

    def erase() -> None:
        is_erased.set()
        raise ConnectionError("the database does not answer")

    monkeypatch.setattr(store, "erase_unfinished", erase)
    monkeypatch.setattr(live, "POLL_S", 0.01)
    lists = LiveLists(store, wall_clock=lambda: NOW)
    lists.start()
    assert is_erased.wait(30)
    store.add([draft(1)])
    while asked(lists, 1) is None:
        pass
    lists.close()


def test_closed_it_leaves_no_file_of_its_database_open(tmp_path: Path) -> None:
    location = locate(str(tmp_path / "ledger.db"))
    assert location is not None
    lists = open_lists(location)
    lists.start()
    lists.store.add([draft(1)])
    lists.close()
    assert not list(tmp_path.glob("*-wal"))
