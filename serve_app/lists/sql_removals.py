"""Removals in the database: recorded, and forgotten after a while."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, insert, literal, select, update
from sqlalchemy.sql.elements import ColumnElement

from serve_app.database.access import Database
from serve_app.database.moments import microseconds, moment_of
from serve_app.database.tables import list_entries, list_removals, list_version, list_version_times
from serve_app.lists.removals import FORGOTTEN_AT_ONCE, KnownRemovals, VersionTime
from serve_app.lists.sql_changes import VERSION, insert_into


def remove(connection: Connection, which: ColumnElement[bool], version: int) -> int:
    """Remove entries in the transaction that makes ``version``, and say how many there were."""
    gone = select(list_entries.c.entry, literal(version)).where(which)
    connection.execute(insert(list_removals).from_select(["entry", "removed_in"], gone))
    return connection.execute(delete(list_entries).where(which)).rowcount


def are_known_since(connection: Connection, version: int) -> bool:
    """Whether every removal since ``version`` is known."""
    return KnownRemovals(_forgotten_to(connection)).has_all_since(version)


def forget_removals(database: Database, now: datetime) -> int:
    """See :meth:`serve_app.lists.store.ListStore.forget_removals`."""
    database.prepare()
    with database.reading_one_moment() as connection:
        before = _known_removals(connection)
        known = before.at(now, connection.execute(select(VERSION)).scalar_one())
    if known != before:
        # Before any of them is erased: nobody may take what is left of them for all.
        with database.writing() as connection:
            _note(connection, database, known)
    is_old = list_removals.c.removed_in <= known.forgotten_to
    with database.reading() as connection:
        some = list(connection.execute(select(list_removals.c.entry).where(is_old).limit(FORGOTTEN_AT_ONCE)).scalars())
    if not some:
        return 0
    with database.writing() as connection:
        return connection.execute(delete(list_removals).where(list_removals.c.entry.in_(some))).rowcount


def _known_removals(connection: Connection) -> KnownRemovals:
    rows = connection.execute(select(list_version_times).order_by(list_version_times.c.version))
    times = tuple(VersionTime(row.version, moment_of(row.at_us)) for row in rows)
    return KnownRemovals(_forgotten_to(connection), times)


def _forgotten_to(connection: Connection) -> int:
    return int(connection.execute(select(list_version.c.removals_forgotten_to)).scalar_one())


def _note(connection: Connection, database: Database, known: KnownRemovals) -> None:
    is_behind = list_version.c.removals_forgotten_to < known.forgotten_to
    connection.execute(update(list_version).where(is_behind).values(removals_forgotten_to=known.forgotten_to))
    connection.execute(delete(list_version_times).where(list_version_times.c.version <= known.forgotten_to))
    for each in known.times:
        noted = insert_into(database)(list_version_times).values(version=each.version, at_us=microseconds(each.at))
        connection.execute(noted.on_conflict_do_nothing())
