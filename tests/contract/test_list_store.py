"""What every store of list entries must do: in memory, in SQLite and in PostgreSQL."""

import contextlib
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from serve_app.database.access import Database, open_database
from serve_app.database.location import Location
from serve_app.database.tables import list_entries
from serve_app.domain import ListingError
from serve_app.domain.lists import Bank, EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.ledger.sql_archive import SqlArchive
from serve_app.lists import sql_import, sql_removals, sql_store
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.removals import KNOWN_FOR
from serve_app.lists.sql_store import SqlListStore
from serve_app.lists.store import ListStore
from tests.contract.conftest import LEDGERS, fresh_location

EARLIER = datetime(2026, 12, 31, 12, tzinfo=UTC)
LATER = datetime(2027, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=LEDGERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ListStore]:
    if request.param == "memory":
        yield MemoryListStore()
        return
    database = open_database(fresh_location(request, request.param, tmp_path))
    yield SqlListStore(database)
    database.close()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many entries a database writes in one transaction."""
    for module in (sql_import, sql_store):
        monkeypatch.setattr(module, "WRITTEN_AT_ONCE", 20)
    return 20


def draft(number: int, bank: str = "ours", **changed: Any) -> EntryDraft:
    made = EntryDraft(
        kind=ListKind.DENY,
        fingerprint=Fingerprint(FingerprintType.PDQ, number.to_bytes(32, "big"), 80),
        bank=bank,
        reason="größer",
        source="them",
        author="anna",
        expires_at=LATER,
    )
    return replace(made, **changed)


def _ids(store: ListStore) -> list[int]:
    return [each.id for each in store.page()]


def test_an_entry_is_stored_with_all_of_it(store: ListStore) -> None:
    before = store.origin()
    given = draft(1)
    added = store.add([given])
    assert (added.version, added.changed, added.known) == (before.version + 1, 1, 0)
    (entry_id,) = added.first_ids
    entry = store.entry(entry_id)
    assert entry is not None
    assert {name: getattr(entry, name) for name in EntryDraft.__slots__} == {
        name: getattr(given, name) for name in EntryDraft.__slots__
    }
    assert entry.added_at.tzinfo is not None
    assert store.find(given.fingerprint) == [entry]
    assert store.page() == [entry]
    assert store.banks() == {"ours": Bank("ours")}
    assert store.counts() == {"ours": 1}
    assert store.origin() == replace(before, version=added.version)


def test_the_same_entry_again_changes_nothing_but_what_differs(store: ListStore) -> None:
    ids = store.add([draft(1), draft(2)]).first_ids
    again = store.add([draft(1), replace(draft(2), reason="another"), draft(3)])
    assert (again.changed, again.known) == (2, 1)
    assert [each.id for each in store.changes_since(again.version - 1).entries] == list(again.first_ids)
    assert again.first_ids[0] == ids[1]
    changed = store.entry(ids[1])
    assert changed is not None
    assert changed.reason == "another"
    assert len(store.page()) == 3


def test_banks_and_kinds_are_apart(store: ListStore) -> None:
    store.add([draft(1), draft(1, "theirs"), draft(1, kind=ListKind.ALLOW)])
    assert store.counts() == {"ours": 2, "theirs": 1}
    first, second, third = _ids(store)
    assert [each.id for each in store.page(kind=ListKind.DENY)] == [first, second]
    assert [each.id for each in store.page("ours", kind=ListKind.ALLOW)] == [third]
    store.put_bank(Bank("theirs", is_shadow=True, is_exportable=False))
    assert store.banks()["theirs"] == Bank("theirs", is_shadow=True, is_exportable=False)
    store.add([draft(2, "theirs")])
    assert store.banks()["theirs"].is_shadow
    assert store.remove_bank("theirs") == 2
    assert store.banks() == {"ours": Bank("ours")}
    assert store.counts() == {"ours": 2}


def test_a_removed_entry_is_gone_and_its_id_is_never_given_again(store: ListStore) -> None:
    (first,) = store.add([draft(1)]).first_ids
    version = store.origin().version
    assert store.remove([first, 999_999]) == 1
    assert store.entry(first) is None
    changes = store.changes_since(version)
    assert not changes.entries
    assert (changes.removed, changes.version) == (frozenset({first}), version + 1)
    (second,) = store.add([draft(1)]).first_ids
    assert second > first


DAY = timedelta(days=1)


def test_removals_are_forgotten_after_a_while_and_whoever_is_older_is_told(store: ListStore) -> None:
    first, second, _ = store.add([draft(1), draft(2), draft(3)]).first_ids
    version = store.origin().version
    assert store.forget_removals(LATER) == 0
    store.remove([first])
    removed_in = store.origin().version
    assert store.forget_removals(LATER + 2 * DAY) == 0
    store.remove([second])
    assert store.forget_removals(LATER + KNOWN_FOR) == 0, "nothing was removed so long ago"
    changes = store.changes_since(version)
    assert (changes.removed, changes.is_complete) == (frozenset({first, second}), True)
    assert store.forget_removals(LATER + 2 * DAY + KNOWN_FOR) == 1
    assert store.forget_removals(LATER + 2 * DAY + KNOWN_FOR) == 0
    assert not store.changes_since(version).is_complete
    changes = store.changes_since(removed_in)
    assert (changes.removed, changes.is_complete) == (frozenset({second}), True)
    assert store.changes_since(0).is_complete
    assert [each.id for each in store.changes_since(0).entries] == _ids(store)


def test_many_removals_are_forgotten_in_parts(store: ListStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_removals, "FORGOTTEN_AT_ONCE", 20)
    store.remove(store.add(draft(number) for number in range(90)).first_ids)
    store.forget_removals(LATER)
    version = store.origin().version
    forgotten = [store.forget_removals(LATER + KNOWN_FOR)]
    assert store.origin().version == version
    assert not store.changes_since(version - 1).is_complete, "before the last of them is gone"
    while forgotten[-1]:
        forgotten.append(store.forget_removals(LATER + KNOWN_FOR))
    assert sum(forgotten) == 90
    assert forgotten[0] in (20, 90)


def test_suspended_entries_are_counted_and_found_without_a_search_of_all(location: Location) -> None:
    with contextlib.closing(open_database(location)) as database:
        store = SqlListStore(database)
        store.suspend(store.add(draft(number) for number in range(3000)).first_ids[:3])
        asked: list[tuple[str, Any]] = []
        with database.writing() as connection:
            connection.exec_driver_sql("ANALYZE list_entries")
            event.listen(connection.engine, "before_cursor_execute", lambda *of: asked.append((of[2], of[3])))
        assert store.suspended_count() == 3
        assert len(store.page(is_suspended=True)) == 3
        explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        plans = []
        for statement, values in [each for each in asked if "suspended_at_us" in each[0]]:
            with database.reading() as connection:
                plans.append(str(connection.exec_driver_sql(f"{explain} {statement}", values).all()))
        assert len(plans) == 2
        assert all("list_entries_suspended" in each for each in plans), plans


async def test_the_audit_has_each_entry_that_was_suspended(location: Location) -> None:
    with contextlib.closing(open_database(location)) as database, contextlib.closing(SqlArchive(database)) as archive:
        store = SqlListStore(database)
        first, second, confirmed = store.add([draft(1), draft(2), draft(3, is_confirmed=True)]).first_ids
        store.suspend([first, second, confirmed])
        store.suspend([first])
        entries = await archive.audit_trail()
        suspended = {each.id: each for each in store.page(is_suspended=True)}
        assert [(each.at, each.actor, each.action, each.detail) for each in entries[::-1]] == [
            (suspended[number].suspended_at, "service", "suspend", {"entry": number, "bank": suspended[number].bank})
            for number in (first, second)
        ]


def test_changes_are_those_since_a_version(store: ListStore) -> None:
    store.add([draft(1)])
    seen = store.changes_since(0)
    assert len(seen.entries) == 1
    store.add([draft(2), draft(3)])
    assert len(store.changes_since(seen.version).entries) == 2
    assert len(store.changes_since(0).entries) == 3
    assert (store.changes_count_since(0), store.changes_count_since(seen.version)) == (3, 2)
    store.remove([1])
    assert (store.changes_count_since(0), store.changes_count_since(store.origin().version)) == (3, 0)
    with store.everything() as stored:
        assert (stored.version, stored.banks) == (store.origin().version, store.banks())
        assert sorted(each.id for each in stored.entries) == _ids(store)


def test_a_suspended_entry_waits_for_a_person_who_has_the_last_word(store: ListStore) -> None:
    (entry_id,) = store.add([draft(1)]).first_ids
    assert store.suspend([entry_id]) == 1
    assert store.suspend([entry_id]) == 0
    (suspended,) = store.page(is_suspended=True)
    assert suspended.suspended_at is not None
    assert store.page(is_suspended=False) == []
    version = store.origin().version
    assert store.confirm([entry_id]) == 1
    (confirmed,) = store.changes_since(version).entries
    assert (confirmed.suspended_at, confirmed.is_confirmed) == (None, True)
    assert store.suspend([entry_id]) == 0
    assert store.page(is_suspended=True) == []


def test_an_entry_that_is_added_again_is_confirmed_if_either_is(store: ListStore) -> None:
    imported, own = store.add([draft(1), draft(2, is_confirmed=True)]).first_ids
    assert store.suspend([imported, own]) == 1
    assert store.suspended_count() == 1
    store.add([draft(1), draft(2)])
    assert [each.is_confirmed for each in store.page()] == [False, True]
    assert store.suspended_count() == 1
    assert store.add([draft(1, is_confirmed=True)]).changed == 1
    assert store.suspended_count() == store.suspend([imported]) == 0


@pytest.mark.parametrize(
    ("kind", "first", "second", "kept"),
    [
        (ListKind.DENY, None, LATER, None),
        (ListKind.DENY, LATER, None, None),
        (ListKind.DENY, LATER, EARLIER, LATER),
        (ListKind.DENY, EARLIER, LATER, LATER),
        (ListKind.ALLOW, None, EARLIER, EARLIER),
        (ListKind.ALLOW, LATER, EARLIER, EARLIER),
    ],
)
def test_what_denies_is_never_shortened(
    store: ListStore, kind: ListKind, first: datetime | None, second: datetime | None, kept: datetime | None
) -> None:
    store.add([draft(1, kind=kind, expires_at=first)])
    again = store.add([draft(1, kind=kind, expires_at=second)])
    (entry,) = store.page()
    assert entry.expires_at == kept
    assert again.changed == (kept != first)


def test_a_quality_that_matches_nothing_replaces_none_that_matches(store: ListStore) -> None:
    poor = Fingerprint(FingerprintType.PDQ, (1).to_bytes(32, "big"), 49)
    store.add([draft(1)])
    assert store.add([draft(1, fingerprint=poor)]).changed == 0
    (entry,) = store.page()
    assert entry.fingerprint.quality == 80


def test_an_import_that_fails_leaves_nothing(store: ListStore) -> None:
    def failing() -> Iterator[EntryDraft]:
        yield from (draft(number) for number in range(1500))
        raise ValueError("line 1501: a pdq has 64 hexadecimal digits")

    store.add([draft(1, "theirs")])
    before = store.origin(), store.page(), store.banks()
    with pytest.raises(ValueError, match="line 1501"):
        store.import_all(failing)
    assert (store.origin(), store.page(), store.banks()) == before


def test_an_import_adds_what_is_new_and_changes_what_differs(store: ListStore) -> None:
    store.add([draft(1), draft(2), draft(3, is_confirmed=True)])
    given = [draft(1), draft(2, reason="another"), draft(3, expires_at=None), draft(4), draft(5, "theirs"), draft(4)]
    seen = store.origin().version
    done = store.import_all(lambda: given)
    assert (done.changed, done.known, done.version) == (4, 2, store.origin().version)
    assert {each.id for each in store.changes_since(seen).entries} == {2, 3, *done.first_ids}
    assert [(each.reason, each.is_confirmed) for each in store.page("ours")] == [
        ("größer", False),
        ("another", False),
        ("größer", True),
        ("größer", False),
    ]
    assert store.counts() == {"ours": 4, "theirs": 1}
    assert store.banks().keys() == {"ours", "theirs"}
    again = store.import_all(lambda: given)
    assert (again.changed, again.known) == (0, 6)
    assert store.import_all(list).changed == 0


def test_what_an_import_adds_is_seen_all_at_once_while_others_change_the_lists(
    store: ListStore, small_batches: int
) -> None:
    """Whenever the file is read, nobody holds the database's writer: between two batches, others write."""
    others: list[int] = []

    def drafts() -> Iterator[EntryDraft]:
        for number in range(10 * small_batches):
            if number % small_batches == 0:
                others.extend(store.add([draft(10_000 + number, "others")]).first_ids)
                assert _ids(store) == others
                assert [each.id for each in store.changes_since(0).entries] == others
                assert store.changes_count_since(0) == len(others)
                assert store.counts() == {"others": len(others)}
                assert store.find(draft(0).fingerprint) == []
                with store.everything() as stored:
                    assert [each.id for each in stored.entries] == others
            yield draft(number)

    done = store.import_all(drafts)
    assert done.changed == 10 * small_batches
    assert store.counts() == {"others": len(others), "ours": done.changed}
    assert store.origin().version == done.version
    changes = store.changes_since(max(each for each in (1, len(others))))
    assert len(changes.entries) == done.changed


def test_of_two_imports_at_one_time_the_second_is_refused(store: ListStore) -> None:
    def drafts() -> Iterator[EntryDraft]:
        yield draft(1)
        with pytest.raises(ListingError, match="another import is under way"):
            store.import_all(lambda: [draft(2)])
        store.erase_unfinished()
        yield draft(3)

    assert store.import_all(drafts).changed == 2
    assert store.import_all(lambda: [draft(2)]).changed == 1


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_person_adds_while_an_import_brings_it_in_is_theirs_at_once(
    store: ListStore, small_batches: int, fails: bool
) -> None:
    ours = draft(0, reason="spam", author="bob", is_confirmed=True)

    def drafts() -> Iterator[EntryDraft]:
        yield from (draft(number) for number in range(small_batches))
        if not store.page():
            (entry_id,) = store.add([ours]).first_ids
            assert store.page()[0].id == entry_id
        if fails:
            raise ValueError("line 3")
        yield draft(small_batches)

    with pytest.raises(ValueError, match="line 3") if fails else contextlib.nullcontext():
        store.import_all(drafts)
    entries = {each.fingerprint: each for each in store.page()}
    assert len(entries) == (1 if fails else small_batches + 1)
    kept = entries[ours.fingerprint]
    assert (kept.author, kept.is_confirmed, kept.reason) == ("bob", True, "spam" if fails else "größer")


def test_a_bank_is_removed_in_parts_and_without_what_an_import_brings_in(store: ListStore, small_batches: int) -> None:
    store.add(draft(number) for number in range(3 * small_batches))

    def drafts() -> Iterator[EntryDraft]:
        yield from (draft(1000 + number) for number in range(2 * small_batches))
        if store.banks():
            assert store.remove_bank("ours") == 3 * small_batches
            assert (store.page(), store.banks(), store.counts()) == ([], {}, {})

    assert store.import_all(drafts).changed == 2 * small_batches
    assert store.counts() == {"ours": 2 * small_batches}


@pytest.mark.parametrize("known", [False, True])
def test_a_bank_that_is_removed_during_an_import_is_made_again_under_the_same_contract(
    store: ListStore, small_batches: int, known: bool
) -> None:
    """Also where every entry that the import brings was there, so that it renews them, or adds them anew."""
    contract = Bank("ours", is_shadow=True, is_exportable=False)
    store.put_bank(contract)
    if known:
        store.add(draft(number) for number in range(2 * small_batches))

    readings = itertools.count()

    def drafts() -> Iterator[EntryDraft]:
        yield from (draft(number, reason="another") for number in range(2 * small_batches))
        if next(readings) == 0:
            store.remove_bank("ours")

    assert store.import_all(drafts).changed == 2 * small_batches
    assert store.banks() == {"ours": contract}


@pytest.mark.parametrize("erased_by", ["a start", "the next import"])
def test_what_a_killed_import_has_left_is_seen_by_nobody_and_erased(location: Location, erased_by: str) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, repr(location)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with contextlib.closing(open_database(location)) as database:
        store = SqlListStore(database)
        assert (store.page(), store.counts(), store.banks(), store.changes_since(0).entries) == ([], {}, {}, [])
        assert _stored(database) > 0
        _wait_until_nobody_imports(database)
        if erased_by == "a start":
            store.erase_unfinished()
        else:
            assert store.import_all(lambda: [draft(1)]).changed == 1
        assert _stored(database) == len(store.page())


def _wait_until_nobody_imports(database: Database) -> None:
    """PostgreSQL may take a while to see that a program is gone."""
    give_up_s = time.monotonic() + 30.0
    is_alone = False
    while not is_alone:
        assert time.monotonic() < give_up_s
        with database.alone_in_importing() as require_alone:
            is_alone = require_alone is not None
        time.sleep(0.0 if is_alone else 0.02)


def _stored(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(list_entries)).scalar_one())


_KILLED = """
import os, signal, sys
from pathlib import *
from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.domain.lists import *
from serve_app.lists.sql_store import SqlListStore

def drafts():
    for number in range(2000):
        pdq = Fingerprint(FingerprintType.PDQ, number.to_bytes(32, "big"))
        yield EntryDraft(kind=ListKind.DENY, fingerprint=pdq, bank="ours", reason="known")
    os.kill(os.getpid(), signal.SIGKILL)

SqlListStore(open_database(eval(sys.argv[1]))).import_all(drafts)
"""


def test_many_entries_are_paged_removed_and_counted(store: ListStore) -> None:
    added = store.add(draft(number) for number in range(2500))
    assert (added.changed, len(added.first_ids)) == (2500, 100)
    first = store.page(limit=1000)
    second = store.page(after=first[-1].id, limit=2000)
    assert (len(first), len(second)) == (1000, 1500)
    assert store.remove([each.id for each in [*first, *second]]) == 2500
    assert store.counts() == {}


def test_changes_at_one_time_get_versions_of_their_own(store: ListStore) -> None:
    versions: list[int] = []

    def add(first: int) -> None:
        versions.extend(store.add([draft(first + number)]).version for number in range(5))

    threads = [threading.Thread(target=add, args=(first,)) for first in (100, 200, 300)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(versions)) == 15
    assert max(versions) == store.origin().version
    assert len(store.changes_since(0).entries) == 15
