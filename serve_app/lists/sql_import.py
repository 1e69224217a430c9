"""Imports into the database: in short transactions, since SQLite has one writer, and decisions wait for it.

1. Entries whose fingerprint is new are written *unfinished*, a few hundred at a time: with a version that is far ahead
   of the lists' own. Nobody reads them.
2. *The flip*: the lists get that version, and have all of these entries at once.
3. *Renewal*: entries that were there already get the reason, source, quality or expiry that the file says.

What fails before the flip leaves nothing: its unfinished entries are erased; where its process was killed, by the next
import or start. What fails after it is completed by the same import again.

A bank that is removed meanwhile, and made again by the import, has the rights that it had last: its contract stays.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from serve_app.database.access import Database
from serve_app.database.tables import list_entries, list_version
from serve_app.domain import ListingError, UnavailableError
from serve_app.domain.lists import Bank, EntryDraft
from serve_app.lists.sql_changes import IS_AHEAD, VERSION, addition, banks_named, changing, insertion, make_bank, row_of
from serve_app.lists.store import IMPORT_UNDER_WAY, Addition

WRITTEN_AT_ONCE: Final = 500
"""Entries in one transaction, which holds SQLite's writer for some 20 ms."""

_PAUSE_S: Final = 0.025
"""Between two transactions: a commit that waits for SQLite's lock asks for it again within this time."""

_AHEAD: Final = 1_000_000
"""More versions than other changes make during an import."""

_FIRST_IDS: Final = 100


def let_others_write(database: Database, since_s: float | None = None) -> None:
    """Leave SQLite's writer to whoever waits for it, if it was not free since ``since_s`` (monotonic) already."""
    free_s = 0.0 if since_s is None else time.monotonic() - since_s
    if database.is_sqlite and free_s < _PAUSE_S:
        time.sleep(_PAUSE_S - free_s)


class SqlImport:
    """One import into ``database``. See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._given = 0
        self._banks: dict[str, Bank] = {}

    def run(self, read: Callable[[], Iterable[EntryDraft]]) -> Addition:
        """See :meth:`serve_app.lists.store.ListStore.import_all`."""
        self._database.prepare()
        with self._database.alone_in_importing() as require_alone:
            if require_alone is None:
                raise ListingError(IMPORT_UNDER_WAY)
            _erase_ahead(self._database)
            try:
                version, changed, first_ids = self._flip(self._write_unfinished(read()), require_alone)
            except BaseException:
                # Where the database is what fails, the next import or start erases it.
                with contextlib.suppress(Exception):
                    _erase_ahead(self._database)
                raise
            if changed < self._given:
                for renewed_in, count in self._renew(read()):
                    version = renewed_in
                    changed += count
        return Addition(version, changed, self._given - changed, first_ids)

    def _write_unfinished(self, drafts: Iterable[EntryDraft]) -> int:
        """Write the entries that are new, for the version that is returned."""
        with self._database.reading() as connection:
            ahead = int(connection.execute(select(VERSION)).scalar_one()) + _AHEAD
            added_at_us = self._database.now_us(connection)
        statement = insertion(self._database)
        for some in _batches(self._database, drafts):
            self._given += len(some)
            rows = [row_of(draft, added_at_us, ahead) for draft in some]
            with self._database.writing() as connection:
                self._note_banks(connection, some)
                connection.execute(statement, rows)
        return ahead

    def _note_banks(self, connection: Connection, drafts: Iterable[EntryDraft]) -> None:
        for draft in drafts:
            self._banks.setdefault(draft.bank, Bank(draft.bank))
        self._banks |= banks_named(connection, self._banks)

    def _flip(self, ahead: int, require_alone: Callable[[], None]) -> tuple[int, int, tuple[int, ...]]:
        """Bring the unfinished entries into the lists: the version, how many, and the first ids."""
        require_alone()
        is_unfinished = list_entries.c.changed_in == ahead
        with changing(self._database) as (connection, version):
            if version >= ahead:
                raise UnavailableError("the lists have changed too often during the import: try again")
            unfinished = _count(connection, is_unfinished)
            if not unfinished:
                connection.rollback()
                return version - 1, 0, ()
            self._make_banks(connection)
            connection.execute(update(list_version).values(version=ahead))
            first = select(list_entries.c.entry).where(is_unfinished).order_by(list_entries.c.entry).limit(_FIRST_IDS)
            return ahead, unfinished, tuple(connection.execute(first).scalars())

    def _make_banks(self, connection: Connection) -> None:
        for name in sorted(self._banks):
            make_bank(connection, self._database, self._banks[name])

    def _renew(self, drafts: Iterable[EntryDraft]) -> Iterator[tuple[int, int]]:
        """Change the entries that were there, where they differ: for each transaction its version, and how many."""
        statement = addition(self._database)
        with self._database.reading() as connection:
            added_at_us = self._database.now_us(connection)
        for some in _batches(self._database, drafts):
            with changing(self._database) as (connection, version):
                rows = [row_of(draft, added_at_us, version) for draft in some]
                connection.execute(statement, rows)
                self._make_banks(connection)
                changed = _count(connection, list_entries.c.changed_in == version)
                if not changed:
                    connection.rollback()  # and no new version, which every replica would read
            if changed:
                yield version, changed


def erase_unfinished(database: Database) -> None:
    """See :meth:`serve_app.lists.store.ListStore.erase_unfinished`."""
    database.prepare()
    with database.alone_in_importing() as require_alone:
        if require_alone is not None:
            _erase_ahead(database)


def _erase_ahead(database: Database) -> None:
    some = select(list_entries.c.entry).where(IS_AHEAD).limit(WRITTEN_AT_ONCE)
    while True:
        with database.reading() as connection:
            ids = list(connection.execute(some).scalars())
        if not ids:
            return
        with database.writing() as connection:
            connection.execute(delete(list_entries).where(list_entries.c.entry.in_(ids) & IS_AHEAD))
        let_others_write(database)


def _count(connection: Connection, which: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).where(which)).scalar_one())


def _batches(database: Database, drafts: Iterable[EntryDraft]) -> Iterator[list[EntryDraft]]:
    """The drafts in batches, each for a transaction of its own."""
    remaining, released_s = iter(drafts), time.monotonic()
    while some := list(islice(remaining, WRITTEN_AT_ONCE)):
        let_others_write(database, released_s)
        yield some
        released_s = time.monotonic()
