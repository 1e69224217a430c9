"""The journal of scans, in the ledger's database: what became of every file, so that the next run does the rest."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from serve_app.database.access import Database, open_database
from serve_app.database.location import Location
from serve_app.database.moments import microseconds, moment_of
from serve_app.database.tables import storage_files, storage_sources
from serve_app.domain import ConfigurationError, UnavailableError, in_words
from serve_app.domain.storable_text import escaped
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.source import StoredFile

_KEY_BYTES = 16
_SOURCE_BYTES = 8
_READ_AT_ONCE = 1_000
_ERASED_AT_ONCE = 10_000


class ScanJournal:
    """The journal of one store. For threads, and never for an event loop; :meth:`close` it after use.

    What was added is on the disk when :meth:`add` returns: a run that is killed has done that much. Every call raises
    ``UnavailableError`` where the database cannot be read or written.

    Attributes:
        url: the store's.
    """

    def __init__(self, database: Database, url: str) -> None:
        """``url`` names the store, as :attr:`~serve_app.storage.scan.source.Source.url` does."""
        self.url = url
        self._database = database
        self._source = _source_key(url)
        insert = sqlite.insert if database.is_sqlite else postgresql.insert
        put = insert(storage_files)
        keys = list(storage_files.primary_key.columns)
        others = {column.name: put.excluded[column.name] for column in storage_files.columns if column not in keys}
        self._put = put.on_conflict_do_update(index_elements=keys, set_=others)
        self._name = insert(storage_sources).values(source=self._source, url=url).on_conflict_do_nothing()

    def known(self, files: Sequence[StoredFile], since: datetime | None = None) -> Mapping[str, FileOutcome]:
        """What became of those that have not changed since their scan, by their names; of scans ``since`` alone."""
        by_key = {_name_key(each.name): each for each in files}
        wanted = select(storage_files.c.name_key, storage_files.c.version, storage_files.c.outcome).where(
            storage_files.c.source == self._source, storage_files.c.name_key.in_(list(by_key))
        )
        if since is not None:
            wanted = wanted.where(storage_files.c.scanned_at_us >= microseconds(since))
        with _words(), self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        found = ((by_key[key], version, outcome) for key, version, outcome in rows)
        return {file.name: FileOutcome(outcome) for file, version, outcome in found if file.version == version}

    def add(self, records: Sequence[FileRecord]) -> None:
        """Record what became of files, each of which is named once; what was known of them is replaced."""
        if records:
            with _words(), self._database.writing() as connection:
                connection.execute(self._name)
                connection.execute(self._put, [_row(self._source, each) for each in records])

    def counts(self) -> Counter[FileOutcome]:
        """How many files there are of each outcome."""
        counted = (
            select(storage_files.c.outcome, func.count())
            .where(storage_files.c.source == self._source)
            .group_by(storage_files.c.outcome)
        )
        with _words(), self._database.reading() as connection:
            return Counter({FileOutcome(outcome): count for outcome, count in connection.execute(counted)})

    def records(self, outcome: FileOutcome) -> Iterator[FileRecord]:
        """Those of an outcome, in any order, some at a time."""
        wanted = (
            select(storage_files)
            .where(storage_files.c.source == self._source, storage_files.c.outcome == outcome)
            .order_by(storage_files.c.name_key)
            .limit(_READ_AT_ONCE)
        )
        after = b""
        while True:
            with _words(), self._database.reading() as connection:
                rows = connection.execute(wanted.where(storage_files.c.name_key > after)).all()
            yield from map(_record, rows)
            if len(rows) < _READ_AT_ONCE:
                return
            after = rows[-1].name_key

    def forget(self) -> int:
        """Erase all of it, so that the next run begins anew: how many files there were."""
        erased = 0
        of_source = storage_files.c.source == self._source
        some = select(storage_files.c.name_key).where(of_source).limit(_ERASED_AT_ONCE)
        while True:
            with _words(), self._database.writing() as connection:
                done = connection.execute(
                    delete(storage_files).where(of_source, storage_files.c.name_key.in_(some.scalar_subquery()))
                ).rowcount
                if not done:
                    connection.execute(delete(storage_sources).where(storage_sources.c.source == self._source))
                    return erased
            erased += done

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def open_journal(location: Location, url: str) -> ScanJournal:
    """The journal of a store, in the database at ``location``.

    Raises:
        ConfigurationError: the database cannot be used.
    """
    database = open_database(location)
    try:
        with _words():
            database.prepare()
        return ScanJournal(database, url)
    except UnavailableError as error:
        database.close()
        raise ConfigurationError(str(error)) from error


def journal_urls(location: Location) -> list[str]:
    """The stores that the journal in the database at ``location`` knows.

    Raises:
        UnavailableError: it cannot be read.
    """
    with contextlib.closing(open_database(location)) as database, _words():
        database.prepare()
        with database.reading() as connection:
            return list(connection.execute(select(storage_sources.c.url).order_by(storage_sources.c.url)).scalars())


@contextlib.contextmanager
def _words() -> Iterator[None]:
    """Errors of the database, in ours."""
    try:
        yield
    except SQLAlchemyError as error:
        raise UnavailableError(f"the journal of scans cannot be read or written: {in_words(error)}") from error


def _source_key(url: str) -> int:
    digest = hashlib.blake2b(url.encode("utf-8"), digest_size=_SOURCE_BYTES).digest()
    return int.from_bytes(digest, "big", signed=True)


def _bytes_of(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _name_key(name: str) -> bytes:
    return hashlib.blake2b(_bytes_of(name), digest_size=_KEY_BYTES).digest()


def _row(source: int, record: FileRecord) -> dict[str, Any]:
    file = record.file
    return {
        "source": source,
        "name_key": _name_key(file.name),
        "name": _bytes_of(file.name),
        "version": file.version,
        "size_bytes": file.size_bytes,
        "outcome": record.outcome,
        "why": escaped(record.why),
        "sha256": None if record.sha256 is None else bytes.fromhex(record.sha256),
        "request_id": record.request_id,
        "aliases": json.dumps(file.aliases) if file.aliases else None,
        "scanned_at_us": microseconds(record.scanned_at),
    }


def _record(row: Row[Any]) -> FileRecord:
    name = row.name.decode("utf-8", "surrogateescape")
    aliases = tuple(json.loads(row.aliases)) if row.aliases else ()
    return FileRecord(
        StoredFile(name, row.size_bytes, row.version, aliases=aliases),
        FileOutcome(row.outcome),
        moment_of(row.scanned_at_us),
        row.why,
        None if row.sha256 is None else row.sha256.hex(),
        row.request_id,
    )
