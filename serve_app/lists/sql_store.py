"""Entries and banks in the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, case, delete, func, insert, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from serve_app.database.access import Database
from serve_app.database.tables import list_banks, list_entries, list_removals, list_version
from serve_app.domain.lists import MIN_QUALITY, Bank, EntryDraft, Fingerprint, FingerprintType, ListEntry, ListKind
from serve_app.lists.partition_file import Origin
from serve_app.lists.store import Addition, Changes, Everything

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_WRITTEN_AT_ONCE: Final = 1000
_READ_AT_ONCE: Final = 10_000
_FIRST_IDS: Final = 100

_CHANGEABLE = ("quality", "reason", "source", "expires_at_us")


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
        with self._changing() as (connection, _):
            put = self._insert()(list_banks).values(name=bank.name, **rights)
            connection.execute(put.on_conflict_do_update(index_elements=[list_banks.c.name], set_=rights))

    def remove_bank(self, name: str) -> int:
        """See the port."""
        with self._changing() as (connection, version):
            removed = _remove(connection, list_entries.c.bank == name, version)
            connection.execute(delete(list_banks).where(list_banks.c.name == name))
            return removed

    def add(self, drafts: Iterable[EntryDraft]) -> Addition:
        """See the port."""
        put = self._insert()(list_entries)
        new = {name: put.excluded[name] for name in (*_CHANGEABLE, "changed_in")}
        new["quality"] = case((put.excluded.quality < MIN_QUALITY, list_entries.c.quality), else_=put.excluded.quality)
        new["expires_at_us"] = _expiry(list_entries.c.kind, list_entries.c.expires_at_us, put.excluded.expires_at_us)
        new["is_confirmed"] = or_(list_entries.c.is_confirmed, put.excluded.is_confirmed)
        new["suspended_at_us"] = case((put.excluded.is_confirmed, None), else_=list_entries.c.suspended_at_us)
        differs = [list_entries.c[name].is_distinct_from(value) for name, value in new.items() if name != "changed_in"]
        put = put.on_conflict_do_update(
            index_elements=[list_entries.c[name] for name in ("type", "digest", "kind", "bank")],
            set_=new,
            where=or_(*differs),
        )
        given, banks = 0, set[str]()
        remaining = iter(drafts)
        with self._changing() as (connection, version):
            added_at_us = self._database.now_us(connection)
            while some := list(islice(remaining, _WRITTEN_AT_ONCE)):
                given += len(some)
                banks |= {draft.bank for draft in some}
                connection.execute(put, [_row(draft, added_at_us, version) for draft in some])
            for name in sorted(banks):
                bank = self._insert()(list_banks).values(name=name, is_shadow=False, is_exportable=True)
                connection.execute(bank.on_conflict_do_nothing())
            changed_now = list_entries.c.changed_in == version
            changed = connection.execute(select(func.count()).where(changed_now)).scalar_one()
            first = select(list_entries.c.entry).where(changed_now).order_by(list_entries.c.entry).limit(_FIRST_IDS)
            return Addition(version, changed, given - changed, tuple(connection.execute(first).scalars()))

    def remove(self, ids: Iterable[int]) -> int:
        """See the port."""
        with self._changing() as (connection, version):
            return sum(_remove(connection, which, version) for which in _with_ids(ids))

    def suspend(self, ids: Iterable[int]) -> int:
        """See the port."""
        can_be = list_entries.c.is_confirmed.is_(False) & list_entries.c.suspended_at_us.is_(None)
        with self._changing() as (connection, version):
            new = {"suspended_at_us": self._database.now_us(connection), "changed_in": version}
            return sum(_update(connection, which & can_be, new) for which in _with_ids(ids))

    def confirm(self, ids: Iterable[int]) -> int:
        """See the port."""
        can_be = list_entries.c.is_confirmed.is_(False)
        with self._changing() as (connection, version):
            new = {"suspended_at_us": None, "is_confirmed": True, "changed_in": version}
            return sum(_update(connection, which & can_be, new) for which in _with_ids(ids))

    def entry(self, entry_id: int) -> ListEntry | None:
        """See the port."""
        return next(iter(self._entries(select(list_entries).where(list_entries.c.entry == entry_id))), None)

    def find(self, fingerprint: Fingerprint) -> Sequence[ListEntry]:
        """See the port."""
        same = (list_entries.c.type == fingerprint.type) & (list_entries.c.digest == fingerprint.digest)
        return self._entries(select(list_entries).where(same).order_by(list_entries.c.entry))

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
        wanted = select(list_entries).where(list_entries.c.entry > after)
        if bank is not None:
            wanted = wanted.where(list_entries.c.bank == bank)
        if kind is not None:
            wanted = wanted.where(list_entries.c.kind == kind)
        if is_suspended is not None:
            wanted = wanted.where(list_entries.c.suspended_at_us.is_not(None).is_(is_suspended))
        return self._entries(wanted.order_by(list_entries.c.entry).limit(limit))

    def suspended_count(self) -> int:
        """See the port."""
        counted = select(func.count()).select_from(list_entries).where(list_entries.c.suspended_at_us.is_not(None))
        with self._reading() as connection:
            return int(connection.execute(counted).scalar_one())

    def counts(self) -> Mapping[str, int]:
        """See the port."""
        counted = select(list_entries.c.bank, func.count()).group_by(list_entries.c.bank)
        with self._reading() as connection:
            return {row.bank: row[1] for row in connection.execute(counted)}

    def changes_since(self, version: int) -> Changes:
        """See the port."""
        changed = select(list_entries).where(list_entries.c.changed_in > version).order_by(list_entries.c.entry)
        removed = select(list_removals.c.entry).where(list_removals.c.removed_in > version)
        with self._reading() as connection:
            return Changes(
                _origin(connection).version,
                _banks(connection),
                [_entry(row) for row in connection.execute(changed).mappings()],
                frozenset(connection.execute(removed).scalars()),
            )

    def changes_count_since(self, version: int) -> int:
        """See the port."""
        counted = [
            select(func.count()).where(changed_in > version)
            for changed_in in (list_entries.c.changed_in, list_removals.c.removed_in)
        ]
        with self._reading() as connection:
            return sum(int(connection.execute(each).scalar_one()) for each in counted)

    @contextlib.contextmanager
    def everything(self) -> Iterator[Everything]:
        """See the port."""
        with self._reading() as connection:
            version, banks = _origin(connection).version, _banks(connection)
            rows = connection.execution_options(yield_per=_READ_AT_ONCE).execute(select(list_entries)).mappings()
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

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[Connection, int]]:
        """A transaction that makes the version that it is given with.

        Its first statement takes the lock of the version's row: changes happen one after the other, in the order of
        their versions, so that nobody who has seen a version misses an earlier one.
        """
        self._database.prepare()
        with self._database.writing() as connection:
            next_one = update(list_version).values(version=list_version.c.version + 1)
            version = connection.execute(next_one.returning(list_version.c.version)).scalar_one()
            yield connection, version

    def _insert(self) -> Any:
        return sqlite.insert if self._database.is_sqlite else postgresql.insert

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
    """Conditions for a thousand ids at a time: a statement takes no more than some ten thousand values."""
    remaining = iter(sorted(set(ids)))
    while some := list(islice(remaining, _WRITTEN_AT_ONCE)):
        yield list_entries.c.entry.in_(some)


def _remove(connection: Connection, which: ColumnElement[bool], version: int) -> int:
    gone = select(list_entries.c.entry, literal(version)).where(which)
    connection.execute(insert(list_removals).from_select(["entry", "removed_in"], gone))
    return connection.execute(delete(list_entries).where(which)).rowcount


def _update(connection: Connection, which: ColumnElement[bool], new: dict[str, Any]) -> int:
    return connection.execute(update(list_entries).where(which).values(new)).rowcount


def _expiry(kind: ColumnElement[str], old: ColumnElement[int], new: ColumnElement[int]) -> ColumnElement[int]:
    """The expiry of an entry that is added again: of one that denies, the later one, and null is the latest."""
    return case((kind == ListKind.ALLOW, new), (old.is_(None), old), (old > new, old), else_=new)


def _row(draft: EntryDraft, added_at_us: int, version: int) -> dict[str, Any]:
    return {
        "type": draft.fingerprint.type,
        "digest": draft.fingerprint.digest,
        "kind": draft.kind,
        "bank": draft.bank,
        "quality": draft.fingerprint.quality,
        "reason": draft.reason,
        "source": draft.source,
        "author": draft.author,
        "added_at_us": added_at_us,
        "expires_at_us": None if draft.expires_at is None else (draft.expires_at - _EPOCH) // _MICROSECOND,
        "is_confirmed": draft.is_confirmed,
        "changed_in": version,
    }


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
        added_at=_EPOCH + row["added_at_us"] * _MICROSECOND,
        suspended_at=_moment(row["suspended_at_us"]),
        is_confirmed=row["is_confirmed"],
    )


def _moment(since_epoch_us: int | None) -> datetime | None:
    return None if since_epoch_us is None else _EPOCH + since_epoch_us * _MICROSECOND
