"""Entries and banks in the database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, delete, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from serve_app.database.access import Database
from serve_app.database.auditing import add_to_audit
from serve_app.database.moments import moment_of
from serve_app.database.tables import list_banks, list_entries, list_removals, list_version
from serve_app.domain import AuditEntry
from serve_app.domain.lists import Bank, EntryDraft, Fingerprint, FingerprintType, ListEntry, ListKind
from serve_app.lists.partition_file import Origin
from serve_app.lists.sql_changes import (
    IS_AHEAD,
    IS_LISTED,
    addition,
    changing,
    insert_into,
    make_bank,
    row_of,
)
from serve_app.lists.sql_import import WRITTEN_AT_ONCE, SqlImport, erase_unfinished, let_others_write
from serve_app.lists.sql_removals import are_known_since, forget_removals, remove
from serve_app.lists.store import Addition, Changes, Everything

_READ_AT_ONCE: Final = 10_000
_FIRST_IDS: Final = 100


class SqlListStore:
    """:class:`serve_app.lists.store.ListStore` over a database. Every method may raise SQLAlchemy's ``DBAPIError``."""

    def __init__(self, database: Database) -> None:
        """``database`` is prepared by the first use."""
        self._database = database

    def origin(self) -> Origin:
        """See the port."""
        with self._reading() as connection:
            return _origin(connection)

    def banks(self) -> Mapping[str, Bank]:
        """See the port."""
        with self._reading() as connection:
            return _banks(connection)

    def put_bank(self, bank: Bank) -> None:
        """See the port."""
        rights = {"is_shadow": bank.is_shadow, "is_exportable": bank.is_exportable}
        with changing(self._database) as (connection, _):
            put = insert_into(self._database)(list_banks).values(name=bank.name, **rights)
            connection.execute(put.on_conflict_do_update(index_elements=[list_banks.c.name], set_=rights))

    def remove_bank(self, name: str) -> int:
        """See the port."""
        some = select(list_entries.c.entry).where((list_entries.c.bank == name) & IS_LISTED).limit(WRITTEN_AT_ONCE)
        removed = 0
        while True:
            with changing(self._database) as (connection, version):
                ids = list(connection.execute(some).scalars())
                removed += remove(connection, list_entries.c.entry.in_(ids), version)
                if len(ids) < WRITTEN_AT_ONCE:
                    connection.execute(delete(list_banks).where(list_banks.c.name == name))
                    return removed
            let_others_write(self._database)

    def add(self, drafts: Iterable[EntryDraft]) -> Addition:
        """See the port."""
        given = list(drafts)
        with changing(self._database) as (connection, version):
            added_at_us = self._database.now_us(connection)
            if given:
                connection.execute(addition(self._database), [row_of(draft, added_at_us, version) for draft in given])
            for name in sorted({draft.bank for draft in given}):
                make_bank(connection, self._database, Bank(name))
            changed_now = list_entries.c.changed_in == version
            changed = select(list_entries.c.entry).where(changed_now).order_by(list_entries.c.entry)
            ids = tuple(connection.execute(changed).scalars())
            return Addition(version, len(ids), len(given) - len(ids), ids[:_FIRST_IDS])

    def import_all(self, read: Callable[[], Iterable[EntryDraft]]) -> Addition:
        """See the port."""
        return SqlImport(self._database).run(read)

    def erase_unfinished(self) -> None:
        """See the port."""
        erase_unfinished(self._database)

    def remove(self, ids: Iterable[int]) -> int:
        """See the port."""
        with changing(self._database) as (connection, version):
            return sum(remove(connection, which, version) for which in _with_ids(ids))

    def suspend(self, ids: Iterable[int]) -> int:
        """See the port."""
        can_be = list_entries.c.is_confirmed.is_(False) & list_entries.c.suspended_at_us.is_(None)
        count = 0
        with changing(self._database) as (connection, version):
            now_us = self._database.now_us(connection)
            at = moment_of(now_us)
            for which in _with_ids(ids):
                wanted = select(list_entries.c.entry, list_entries.c.bank).where(which & can_be)
                for row in connection.execute(wanted).all():
                    add_to_audit(connection, AuditEntry.of_suspending(at, row.entry, row.bank))
                count += _update(connection, which & can_be, {"suspended_at_us": now_us, "changed_in": version})
        return count

    def confirm(self, ids: Iterable[int]) -> int:
        """See the port."""
        can_be = list_entries.c.is_confirmed.is_(False)
        with changing(self._database) as (connection, version):
            new = {"suspended_at_us": None, "is_confirmed": True, "changed_in": version}
            return sum(_update(connection, which & can_be, new) for which in _with_ids(ids))

    def entry(self, entry_id: int) -> ListEntry | None:
        """See the port."""
        wanted = select(list_entries).where((list_entries.c.entry == entry_id) & IS_LISTED)
        return next(iter(self._entries(wanted)), None)

    def find(self, fingerprint: Fingerprint) -> Sequence[ListEntry]:
        """See the port."""
        same = (list_entries.c.type == fingerprint.type) & (list_entries.c.digest == fingerprint.digest)
        return self._entries(select(list_entries).where(same & IS_LISTED).order_by(list_entries.c.entry))

    def page(
        self,
        bank: str | None = None,
        after: int = 0,
        limit: int = 1000,
        *,
        kind: ListKind | None = None,
        is_suspended: bool | None = None,
    ) -> Sequence[ListEntry]:
        """See the port."""
        wanted = select(list_entries).where((list_entries.c.entry > after) & IS_LISTED)
        if bank is not None:
            wanted = wanted.where(list_entries.c.bank == bank)
        if kind is not None:
            wanted = wanted.where(list_entries.c.kind == kind)
        if is_suspended is not None:
            # Written so that the index of the suspended ones, which are few, serves.
            suspended_at_us = list_entries.c.suspended_at_us
            wanted = wanted.where(suspended_at_us.is_not(None) if is_suspended else suspended_at_us.is_(None))
        return self._entries(wanted.order_by(list_entries.c.entry).limit(limit))

    def suspended_count(self) -> int:
        """See the port."""
        counted = select(func.count()).select_from(list_entries).where(list_entries.c.suspended_at_us.is_not(None))
        with self._reading() as connection:
            return int(connection.execute(counted).scalar_one())

    def counts(self) -> Mapping[str, int]:
        """See the port."""
        # Two searches of an index, where one for what is listed would read every entry.
        counted = select(list_entries.c.bank, func.count()).group_by(list_entries.c.bank)
        with self._reading() as connection:
            ahead = {row.bank: row[1] for row in connection.execute(counted.where(IS_AHEAD))}
            listed = {row.bank: row[1] - ahead.get(row.bank, 0) for row in connection.execute(counted)}
        return {bank: count for bank, count in listed.items() if count}

    def changes_since(self, version: int) -> Changes:
        """See the port."""
        is_changed = (list_entries.c.changed_in > version) & IS_LISTED
        changed = select(list_entries).where(is_changed).order_by(list_entries.c.entry)
        removed = select(list_removals.c.entry).where(list_removals.c.removed_in > version)
        with self._reading() as connection:
            return Changes(
                _origin(connection).version,
                _banks(connection),
                [_entry(row) for row in connection.execute(changed).mappings()],
                frozenset(connection.execute(removed).scalars()),
                is_complete=are_known_since(connection, version),
            )

    def changes_count_since(self, version: int) -> int:
        """See the port."""
        counted = [
            select(func.count()).where((list_entries.c.changed_in > version) & IS_LISTED),
            select(func.count()).where(list_removals.c.removed_in > version),
        ]
        with self._reading() as connection:
            return sum(int(connection.execute(each).scalar_one()) for each in counted)

    def forget_removals(self, now: datetime) -> int:
        """See the port."""
        return forget_removals(self._database, now)

    @contextlib.contextmanager
    def everything(self) -> Iterator[Everything]:
        """See the port."""
        with self._reading() as connection:
            version, banks = _origin(connection).version, _banks(connection)
            some_at_a_time = connection.execution_options(yield_per=_READ_AT_ONCE)
            rows = some_at_a_time.execute(select(list_entries).where(IS_LISTED)).mappings()
            yield Everything(version, banks, (_entry(row) for row in rows))

    def _entries(self, wanted: Select[Any]) -> list[ListEntry]:
        with self._reading() as connection:
            return [_entry(row) for row in connection.execute(wanted).mappings()]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One view of the database: what is read together belongs together."""
        self._database.prepare()
        with self._database.reading_one_moment() as connection:
            yield connection

    def close(self) -> None:
        """See the port."""
        self._database.close()


def _origin(connection: Connection) -> Origin:
    row = connection.execute(select(list_version)).one()
    return Origin(row.lineage, row.version)


def _banks(connection: Connection) -> dict[str, Bank]:
    rows = connection.execute(select(list_banks))
    return {row.name: Bank(row.name, row.is_shadow, row.is_exportable) for row in rows}


def _with_ids(ids: Iterable[int]) -> Iterator[ColumnElement[bool]]:
    """Conditions for some of the ids at a time: a statement takes no more than some ten thousand values."""
    remaining = iter(sorted(set(ids)))
    while some := list(islice(remaining, WRITTEN_AT_ONCE)):
        yield list_entries.c.entry.in_(some) & IS_LISTED


def _update(connection: Connection, which: ColumnElement[bool], new: dict[str, Any]) -> int:
    return connection.execute(update(list_entries).where(which).values(new)).rowcount


def _entry(row: RowMapping) -> ListEntry:
    return ListEntry(
        id=row["entry"],
        kind=ListKind(row["kind"]),
        fingerprint=Fingerprint(FingerprintType(row["type"]), bytes(row["digest"]), row["quality"]),
        bank=row["bank"],
        reason=row["reason"],
        source=row["source"],
        author=row["author"],
        expires_at=_moment(row["expires_at_us"]),
        added_at=moment_of(row["added_at_us"]),
        suspended_at=_moment(row["suspended_at_us"]),
        is_confirmed=row["is_confirmed"],
    )


def _moment(since_epoch_us: int | None) -> datetime | None:
    return None if since_epoch_us is None else moment_of(since_epoch_us)
