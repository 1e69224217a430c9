"""A store that is watched, with a clock and a store of the test: nothing waits."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serve_app.database.location import Location
from serve_app.domain import SettingsError, StorageUnavailableError, UnauthorisedError, UnavailableError
from serve_app.ledger import MemoryLedger
from serve_app.purges import QuotaOfPurges
from serve_app.storage.scan.disposal import Disposal, OnReject, Removal, Report
from serve_app.storage.scan.journal import ScanJournal, open_journal
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.run import StorageScan, Terms
from serve_app.storage.scan.source import StoredFile, Wanted
from serve_app.storage.scan.watch import LOOK_EVERY_S, MOST_PAUSE_S, OVERLAP, pause_s, wait_for_store, watch_store
from tests.unit.storage.conftest import Scanner

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@dataclass
class Store:
    """Files by name. After each look the next step of ``steps`` is taken, and time passes; after the last, it ends."""

    stop: asyncio.Event
    files_in_it: dict[str, StoredFile] = field(default_factory=dict)
    looks: list[Wanted] = field(default_factory=list)
    away: Exception | None = None
    now: datetime = NOON
    url: str = "file:/store"
    audit_name: str = "file:/store"

    def put(self, name: str, at: datetime | None = None) -> None:
        self.files_in_it[name] = StoredFile(name, 6, "1", at or self.now)

    async def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        self.looks.append(wanted)
        if self.away is not None:
            raise self.away
        yield [each for each in self.files_in_it.values() if wanted.has(each)]

    async def read(self, file: StoredFile, max_bytes: int) -> bytes:
        del max_bytes
        if file.name.startswith("later"):
            raise StorageUnavailableError("it is slow")
        return file.name.encode() if file.name.startswith("reject") else b"accept"

    async def remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        assert hashlib.sha256(file.name.encode()).hexdigest() == sha256
        del self.files_in_it[file.name]
        return (file.name,)


@dataclass
class Watch:
    """A watch, whose looks follow one another at once."""

    store: Store
    journal: ScanJournal
    scanner: Scanner = field(default_factory=Scanner)
    noted: list[str] = field(default_factory=list)
    removal: Disposal | None = None

    async def run(self, *steps: Callable[[], object], wanted: Wanted | None = None) -> None:
        """Look once, and once more after each of ``steps``."""
        left = iter(steps)

        def wall_clock() -> datetime:
            if self.store.looks:
                step = next(left, None)
                if step is None:
                    self.store.stop.set()
                else:
                    step()
            return self.store.now

        def note(record: FileRecord) -> None:
            self.noted.append(f"{record.outcome} {record.file.name}")

        def begin(may_remove: bool) -> StorageScan:
            disposal = self.removal if may_remove and self.removal is not None else Report()
            return StorageScan(self.store, self.journal, self.scanner, disposal, Terms(100))  # type: ignore[arg-type]

        async with asyncio.timeout(30):
            await watch_store(begin, wanted or Wanted(), self.store.stop, note, wall_clock, look_every_s=0)


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[Watch]:
    store = Store(asyncio.Event())
    location = Location(tmp_path, tmp_path / "ledger.db")
    with contextlib.closing(open_journal(location, store.url)) as journal:
        yield Watch(store, journal)


def passing(store: Store, time: timedelta, *names: str) -> Callable[[], None]:
    def step() -> None:
        store.now += time
        for name in names:
            store.put(name)

    return step


MINUTE = timedelta(minutes=1)


async def test_the_next_look_finds_what_is_new_and_lists_only_what_is_recent(watch: Watch) -> None:
    store = watch.store
    store.put("old", NOON - timedelta(days=9))
    await watch.run(passing(store, MINUTE, "a"), passing(store, MINUTE, "b"))
    assert watch.noted == ["accepted old", "accepted a", "accepted b"]
    assert [each.since for each in store.looks[:3]] == [None, NOON - OVERLAP, NOON + MINUTE - OVERLAP]


async def test_a_file_with_a_time_that_is_over_is_found_within_the_overlap(watch: Watch) -> None:
    await watch.run(lambda: watch.store.put("late", NOON - OVERLAP))
    assert watch.noted == ["accepted late"]


async def test_each_day_all_is_listed_again(watch: Watch) -> None:
    store = watch.store

    def next_day() -> None:
        store.now += timedelta(hours=12)
        store.put("ancient", NOON - timedelta(days=400))

    await watch.run(passing(store, MINUTE), next_day, passing(store, MINUTE))
    assert [each.since is None for each in store.looks[:4]] == [True, False, True, False]
    assert watch.noted == ["accepted ancient"]


async def test_what_was_asked_for_is_kept_at_every_look(watch: Watch) -> None:
    wanted = Wanted("pre", NOON - MINUTE)
    await watch.run(passing(watch.store, MINUTE), passing(watch.store, 60 * MINUTE), wanted=wanted)
    assert watch.store.looks[:2] == [wanted, wanted]
    assert watch.store.looks[2] == wanted, "the look before it was a minute after noon"


@pytest.mark.parametrize("problem", [StorageUnavailableError("no answer"), UnavailableError("no answer")])
async def test_who_is_away_is_waited_for_and_said_once(
    watch: Watch, caplog: pytest.LogCaptureFixture, problem: Exception
) -> None:
    store = watch.store
    store.put("a", NOON - timedelta(days=1))
    store.away = problem

    def back() -> None:
        store.away = None

    def away_again() -> None:
        store.away = problem

    with caplog.at_level(logging.WARNING):
        await watch.run(lambda: None, lambda: None, back, away_again)
    assert watch.noted == ["accepted a"], "all is listed once it is back"
    assert [str(each.msg) for each in caplog.records] == ["the store is looked at again in a while: no answer"] * 2


async def test_a_file_left_for_later_is_in_the_next_look_however_old_it_is(watch: Watch) -> None:
    store = watch.store
    changed_at = NOON - timedelta(days=30)
    store.put("later", changed_at)
    store.put("done", changed_at - MINUTE)

    def away() -> None:
        store.away = StorageUnavailableError("no answer")

    def back() -> None:
        store.away = None
        file = store.files_in_it.pop("later")
        store.files_in_it["now"] = replace(file, name="now")

    await watch.run(away, back, passing(store, MINUTE))
    assert sorted(watch.noted) == ["accepted done", "accepted now", "later later"]
    assert [each.since for each in store.looks[:4]] == [None, changed_at, changed_at, NOON - OVERLAP]


async def test_a_file_without_a_time_that_was_left_for_later_is_in_the_next_look(watch: Watch) -> None:
    store = watch.store

    def leave() -> None:
        store.now += MINUTE
        store.files_in_it["later"] = StoredFile("later", 6, "1", modified_at=None)

    def back() -> None:
        store.now += 30 * MINUTE
        del store.files_in_it["later"]

    await watch.run(leave, back, passing(store, MINUTE))
    assert watch.noted == ["later later"]
    back_to = NOON - OVERLAP
    assert [each.since for each in store.looks[:4]] == [None, back_to, back_to, NOON + 31 * MINUTE - OVERLAP]


async def test_once_the_quota_is_used_up_looks_scan_on_and_remove_nothing_until_tomorrow(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    store, audit = watch.store, MemoryLedger()
    quota = QuotaOfPurges(audit, "alice", 1, lambda: store.now)
    watch.removal = Removal(store, quota, OnReject.PURGE)  # type: ignore[arg-type]
    for number in range(40):
        store.put(f"reject {number:02}", NOON - timedelta(days=9))
    store.put("z", NOON - timedelta(days=9))

    def next_day() -> None:
        assert len(store.files_in_it) == 41
        store.now += timedelta(days=1)

    with caplog.at_level(logging.WARNING):
        await watch.run(lambda: None, passing(store, MINUTE, "new"), next_day, lambda: None)
    assert {"accepted z", "accepted new"} <= set(watch.noted)
    assert sum(each.startswith("purged") for each in watch.noted) == 2, "one each day"
    assert [each.since for each in store.looks[:3]] == [None, None, NOON - OVERLAP]
    assert [str(each.msg) for each in caplog.records] == [
        "today's quota of purges is used up: until tomorrow, UTC, pictures are scanned and none is removed"
    ] * 2, "once a day"


async def test_a_rejected_picture_that_each_look_scans_is_told_once_a_day(watch: Watch) -> None:
    class Stuck(Report):
        def is_final(self, file: StoredFile) -> bool:
            return False

    watch.removal = Stuck()
    store = watch.store
    store.put("reject")
    await watch.run(passing(store, MINUTE), passing(store, MINUTE), passing(store, timedelta(days=1)))
    assert len(watch.scanner.bodies) == 4
    assert watch.noted == ["rejected reject"] * 2


async def test_a_wrong_secret_ends_it(watch: Watch) -> None:
    watch.store.away = UnauthorisedError("the secret is wrong")
    with pytest.raises(UnauthorisedError):
        await watch.run()


async def test_stop_ends_the_wait_at_once(watch: Watch) -> None:
    store = watch.store

    def begin(may_remove: bool) -> StorageScan:
        return StorageScan(store, watch.journal, watch.scanner, Report(), Terms(100))  # type: ignore[arg-type]

    def note(record: FileRecord) -> None:
        assert record.outcome is FileOutcome.ACCEPTED
        asyncio.get_running_loop().call_soon(store.stop.set)

    store.put("a")
    async with asyncio.timeout(30):
        await watch_store(begin, Wanted(), store.stop, note, lambda: NOON, look_every_s=3_600)
    assert len(store.looks) == 1


@pytest.mark.parametrize(
    ("listing_s", "expected_s"), [(0.0, LOOK_EVERY_S), (1.0, LOOK_EVERY_S), (60.0, 600.0), (86_400.0, MOST_PAUSE_S)]
)
def test_a_store_that_is_slow_to_list_is_listed_less_often(listing_s: float, expected_s: float) -> None:
    assert pause_s(listing_s) == expected_s


async def test_a_listing_takes_as_long_as_the_store_does_and_no_scan(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr("serve_app.storage.scan.run.perf_counter", lambda: now_s)

    class Slow(Store):
        async def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
            nonlocal now_s
            async for part in super().files(wanted):
                now_s += 3
                yield part
                now_s += 4

        async def read(self, file: StoredFile, max_bytes: int) -> bytes:
            nonlocal now_s
            now_s += 100
            return await super().read(file, max_bytes)

    store = Slow(asyncio.Event())
    store.put("a")
    run = StorageScan(store, watch.journal, watch.scanner, Report(), Terms(100))  # type: ignore[arg-type]
    await run.run(Wanted(), store.stop)
    assert run.listing_s == 7
    assert now_s == 107


async def test_a_store_that_is_away_at_the_start_is_asked_again_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    stop, asked = asyncio.Event(), 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        if asked < 4:
            raise StorageUnavailableError("no answer")

    with caplog.at_level(logging.WARNING):
        await wait_for_store(ask, stop, look_every_s=0)
    assert asked == 4
    assert [str(each.msg) for each in caplog.records] == ["the store is looked at again in a while: no answer"]


async def test_wrong_settings_are_not_waited_for() -> None:
    async def ask() -> None:
        raise SettingsError("name the software")

    with pytest.raises(SettingsError):
        await wait_for_store(ask, asyncio.Event(), look_every_s=0)


async def test_a_watch_that_is_ended_waits_for_no_store() -> None:
    stop = asyncio.Event()

    async def ask() -> None:
        stop.set()
        raise StorageUnavailableError("no answer")

    await wait_for_store(ask, stop, look_every_s=3600)
