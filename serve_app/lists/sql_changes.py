"""What readers and writers of the lists' tables share: versions, and which entries of the table are in the lists.

The version of the lists grows with each change, and each entry has the version that changed it last. An entry of a
version ahead is not in the lists yet: an import is writing it (:mod:`serve_app.lists.sql_import`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import Connection, case, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from serve_app.database.access import Database
from serve_app.database.moments import microseconds
from serve_app.database.tables import list_banks, list_entries, list_version
from serve_app.domain.lists import MIN_QUALITY, Bank, EntryDraft, ListKind

VERSION: Final = select(list_version.c.version).scalar_subquery()
# Nearly every entry is listed: the sum keeps databases from searching an index of versions for them.
IS_LISTED: Final = list_entries.c.changed_in + 0 <= VERSION
IS_AHEAD: Final = list_entries.c.changed_in > VERSION

_KEY: Final = [list_entries.c[name] for name in ("type", "digest", "kind", "bank")]


@contextlib.contextmanager
def changing(database: Database) -> Iterator[tuple[Connection, int]]:
    """A transaction that makes the version that it is given with.

    Its first statement takes the lock of the version's row: changes happen one after the other, in the order of their
    versions, so that nobody who has seen a version misses an earlier one.
    """
    database.prepare()
    with database.writing() as connection:
        next_one = update(list_version).values(version=list_version.c.version + 1)
        version = connection.execute(next_one.returning(list_version.c.version)).scalar_one()
        yield connection, version


def insert_into(database: Database) -> Any:
    """The dialect's ``insert``, which knows conflicts."""
    return sqlite.insert if database.is_sqlite else postgresql.insert


def insertion(database: Database) -> Any:
    """A statement that inserts the rows whose fingerprint is new to its kind and bank."""
    return insert_into(database)(list_entries).on_conflict_do_nothing(index_elements=_KEY)


def addition(database: Database) -> Any:
    """A statement that inserts rows, or changes those that are there; see :meth:`ListStore.add` for what it changes.

    An entry that an import has not brought in yet counts as new.
    """
    put = insert_into(database)(list_entries)
    new, old = put.excluded, list_entries.c
    is_new = old.changed_in > new.changed_in
    values = {
        "quality": case((new.quality < MIN_QUALITY, old.quality), else_=new.quality),
        "reason": new.reason,
        "source": new.source,
        "expires_at_us": _expiry(old.kind, old.expires_at_us, new.expires_at_us),
        "is_confirmed": or_(old.is_confirmed, new.is_confirmed),
        "suspended_at_us": case((new.is_confirmed, None), else_=old.suspended_at_us),
    }
    differs = [old[name].is_distinct_from(value) for name, value in values.items()]
    values |= {"author": old.author, "added_at_us": old.added_at_us}
    return put.on_conflict_do_update(
        index_elements=_KEY,
        set_={name: case((is_new, new[name]), else_=value) for name, value in values.items()}
        | {"changed_in": new.changed_in},
        where=or_(is_new, *differs),
    )


def make_bank(connection: Connection, database: Database, bank: Bank) -> None:
    """Make a bank, if it is not there; one that is there keeps its rights."""
    rights = {"is_shadow": bank.is_shadow, "is_exportable": bank.is_exportable}
    connection.execute(insert_into(database)(list_banks).values(name=bank.name, **rights).on_conflict_do_nothing())


def banks_named(connection: Connection, names: Iterable[str]) -> dict[str, Bank]:
    """The banks with these names, as far as they are there."""
    rows = connection.execute(select(list_banks).where(list_banks.c.name.in_(list(names))))
    return {row.name: Bank(row.name, row.is_shadow, row.is_exportable) for row in rows}


def row_of(draft: EntryDraft, added_at_us: int, version: int) -> dict[str, Any]:
    """The row of an entry that ``version`` adds."""
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
        "expires_at_us": None if draft.expires_at is None else microseconds(draft.expires_at),
        "is_confirmed": draft.is_confirmed,
        "changed_in": version,
    }


def _expiry(kind: ColumnElement[str], old: ColumnElement[int], new: ColumnElement[int]) -> ColumnElement[int]:
    """The expiry of an entry that is added again: of one that denies, the later one, and null is the latest."""
    return case((kind == ListKind.ALLOW, new), (old.is_(None), old), (old > new, old), else_=new)
