"""The journal of scans, in each database: what became of a file is known until the file changes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.domain import ConfigurationError, UnavailableError
from serve_app.storage.scan.journal import ScanJournal, journal_urls, open_journal
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.source import MOST_LISTED, StoredFile

NOON = datetime(2026, 11, 26, 12, 0, 0, 123456, tzinfo=UTC)
HERE, THERE = "file:/here", "s3://there/"
NAMES = ["a.png", "größer.png", "new\nline", "nul\0", os.fsdecode(b"\xff\xfe"), "a" * 4_096, "👾/%s?#", "'; --", ""]


def record(name: str, outcome: FileOutcome = FileOutcome.ACCEPTED, version: str = "1") -> FileRecord:
    return FileRecord(StoredFile(name, 9, version), outcome, NOON)


def named(record: FileRecord) -> str:
    return record.file.name


OpenJournal = Callable[[str], ScanJournal]


@pytest.fixture
def open_at(location: Location) -> Iterator[OpenJournal]:
    with contextlib.ExitStack() as stack:
        yield lambda url: stack.enter_context(contextlib.closing(open_journal(location, url)))


@pytest.fixture
def journal(open_at: OpenJournal) -> ScanJournal:
    return open_at(HERE)


def test_every_outcome_is_known_until_the_file_changes(journal: ScanJournal) -> None:
    records = [record(f"{outcome}.png", outcome) for outcome in FileOutcome]
    journal.add(records)
    files = [each.file for each in records]
    assert journal.known(files) == {each.file.name: each.outcome for each in records}
    changed = [replace(files[0], version="2"), *files[1:], StoredFile("unknown", 9, "1")]
    assert journal.known(changed) == {each.file.name: each.outcome for each in records[1:]}
    assert journal.known([]) == {}
    assert journal.counts() == Counter(FileOutcome)


def test_of_scans_since_a_moment_alone_something_is_known_if_that_is_asked(journal: ScanJournal) -> None:
    at_noon = record("a.png")
    journal.add([at_noon, replace(record("b.png"), scanned_at=NOON - timedelta(microseconds=1))])
    files = [at_noon.file, replace(at_noon.file, name="b.png")]
    assert set(journal.known(files, NOON)) == {"a.png"}
    assert set(journal.known(files, NOON - timedelta(days=1))) == {"a.png", "b.png"}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_whatever_a_store_has(journal: ScanJournal, name: str) -> None:
    journal.add([record("other"), record(name, FileOutcome.REJECTED)])
    assert journal.known([StoredFile(name, 9, "1")]) == {name: FileOutcome.REJECTED}
    assert [named(each) for each in journal.records(FileOutcome.REJECTED)] == [name]


def test_all_of_a_record_is_kept(journal: ScanJournal) -> None:
    file = StoredFile("a.png", 2**40, "etag-1", aliases=("b.png", "größer.png"))
    full = FileRecord(file, FileOutcome.REJECTED, NOON, "It is red.", "0f" * 32, "r-1")
    empty = replace(record("b.png", FileOutcome.REJECTED), scanned_at=NOON + timedelta(days=9_000))
    journal.add([full, empty])
    assert sorted(journal.records(FileOutcome.REJECTED), key=named) == [full, empty]


def test_why_may_repeat_what_a_database_cannot_store(journal: ScanJournal) -> None:
    journal.add([replace(record("a.png"), why="nul\0 and \udcff")])
    (found,) = journal.records(FileOutcome.ACCEPTED)
    assert found.why == "nul\\u0000 and \\udcff"


def test_a_record_takes_the_place_of_the_one_before(journal: ScanJournal) -> None:
    journal.add([replace(record("a.png", FileOutcome.REJECTED), why="red", sha256="0f" * 32, request_id="r-1")])
    latest = replace(record("a.png", FileOutcome.GONE, "2"), scanned_at=NOON + timedelta(days=1))
    journal.add([latest])
    assert list(journal.records(FileOutcome.REJECTED)) == []
    assert list(journal.records(FileOutcome.GONE)) == [latest]
    assert journal.counts() == Counter({FileOutcome.GONE: 1})


def test_of_a_file_that_is_named_twice_the_last_record_counts(journal: ScanJournal) -> None:
    journal.add([record("a.png", FileOutcome.LATER), record("a.png")])
    assert journal.counts() == Counter({FileOutcome.ACCEPTED: 1})
    assert journal.known([StoredFile("a.png", 9, "1")] * 2) == {"a.png": FileOutcome.ACCEPTED}


def test_two_stores_have_files_of_one_name(open_at: OpenJournal) -> None:
    here, there = open_at(HERE), open_at(THERE)
    here.add([record("a.png")])
    there.add([record("a.png", FileOutcome.REJECTED)])
    file = StoredFile("a.png", 9, "1")
    assert (here.known([file]), there.known([file])) == (
        {"a.png": FileOutcome.ACCEPTED},
        {"a.png": FileOutcome.REJECTED},
    )
    assert here.forget() == 1
    assert (here.counts(), there.counts()) == (Counter(), Counter({FileOutcome.REJECTED: 1}))
    assert list(here.records(FileOutcome.REJECTED)) == []


def test_more_files_than_a_part_has_are_asked_for_and_told(journal: ScanJournal) -> None:
    names = [f"{number}.png" for number in range(2 * MOST_LISTED)]
    journal.add([record(name) for name in names])
    assert len(journal.known([StoredFile(name, 9, "1") for name in names[:MOST_LISTED]])) == MOST_LISTED
    assert sorted(map(named, journal.records(FileOutcome.ACCEPTED))) == sorted(names)
    journal.add([record("one more")])
    assert sum(1 for _ in journal.records(FileOutcome.ACCEPTED)) == 2 * MOST_LISTED + 1


def test_records_may_be_added_while_they_are_told(journal: ScanJournal) -> None:
    journal.add([record(f"{number}.png") for number in range(MOST_LISTED + 1)])
    told = journal.records(FileOutcome.ACCEPTED)
    first = named(next(told))
    journal.add([record("0.png", FileOutcome.GONE), record(first, FileOutcome.GONE)])
    assert MOST_LISTED - 2 <= sum(1 for _ in told) <= MOST_LISTED


def test_only_stores_of_which_something_is_known_are_named(location: Location, open_at: OpenJournal) -> None:
    here, there = open_at(HERE), open_at(THERE)
    here.add([])
    assert journal_urls(location) == []
    there.add([record("a.png")])
    here.add([record("a.png")])
    assert journal_urls(location) == [HERE, THERE]
    assert here.forget() == 1
    assert journal_urls(location) == [THERE]
    here.add([record("a.png")])
    assert journal_urls(location) == [HERE, THERE], "it begins anew"


def test_what_is_added_is_there_for_the_next_program(location: Location, journal: ScanJournal) -> None:
    journal.add([record("a.png")])
    with contextlib.closing(open_journal(location, HERE)) as other:
        assert other.counts() == Counter({FileOutcome.ACCEPTED: 1})


CALLS: dict[str, Callable[[ScanJournal], object]] = {
    "known": lambda journal: journal.known([StoredFile("a.png", 9, "1")]),
    "add": lambda journal: journal.add([record("a.png")]),
    "counts": lambda journal: journal.counts(),
    "records": lambda journal: list(journal.records(FileOutcome.ACCEPTED)),
    "forget": lambda journal: journal.forget(),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_database_that_fails_is_told_as_unavailable(location: Location, journal: ScanJournal, call: str) -> None:
    with contextlib.closing(open_database(location)) as database, database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE storage_files")
    with pytest.raises(UnavailableError, match="the journal of scans cannot be read or written: "):
        CALLS[call](journal)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["add", "forget"])
def test_a_database_that_another_program_locks_is_told_as_unavailable(
    location: Location, journal: ScanJournal, call: str
) -> None:
    with contextlib.closing(open_database(location)) as database, database.writing() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("LOCK TABLE storage_files, storage_sources IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(UnavailableError, match="the journal of scans cannot be read or written: "):
            CALLS[call](journal)
    journal.add([record("a.png")])


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(b"no database" * 1_000)
    with pytest.raises(ConfigurationError, match="not a database"):
        open_journal(Location(tmp_path, file), HERE)
    with pytest.raises(UnavailableError, match="not a database"):
        journal_urls(Location(tmp_path, file))


def test_erased_names_are_gone_from_the_file(tmp_path: Path, migrated_file: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(migrated_file.read_bytes())
    with contextlib.closing(open_journal(Location(tmp_path, file), HERE)) as journal:
        journal.add([record("a-name-that-is-forgotten.png")])
        journal.forget()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"a-name-that-is-forgotten" not in file.read_bytes()
