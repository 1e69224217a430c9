"""The ledger that the settings ask for. Libraries of databases are imported only where there is a database."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from serve_app.database.location import Location
from serve_app.domain import ConfigurationError, DecisionArchive, Ledger, WorkLease, in_words
from serve_app.domain.limits import MediaLimits
from serve_app.ledger.memory import MemoryLedger
from serve_app.logs import EventLogger

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

    from serve_app.ledger.body_scans import BodyScans
    from serve_app.ledger.sql_archive import SqlArchive

logger = EventLogger(__name__)


class OpenLedger(Ledger, DecisionArchive, Protocol):
    """A ledger and its archive. Close it after use."""

    @property
    def bodies(self) -> BodyScans | None:
        """Scans of all bodies; None where nothing outlives the service."""
        ...

    def lease(self, name: str) -> WorkLease:
        """The right to do the work ``name`` for all programs that share this ledger."""
        ...

    def close(self) -> None:
        """End what it has started."""
        ...


def open_ledger(
    location: Location | None, limits: MediaLimits | None = None, commit_wait_s: float | None = None
) -> OpenLedger:
    """The ledger at ``location``; in memory if that is None. Its pictures are examined under ``limits``.

    A decision waits ``commit_wait_s`` for its commit, by default as long as an answer may, and then goes to the spool.

    A PostgreSQL server that cannot be reached now, or whose tables are in use when they have to be changed, does not
    keep the service from starting: decisions wait in the spool.

    Raises:
        ConfigurationError: the database cannot be used, or there is no room for the spool.
    """
    if location is None:
        return MemoryLedger()
    from sqlalchemy.exc import DBAPIError

    from serve_app.database.access import open_database
    from serve_app.ledger.spool import Spool
    from serve_app.ledger.sql import COMMIT_WAIT_S, SqlLedger

    database = open_database(location)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(database.close)
        try:
            database.prepare()
        except DBAPIError as error:
            if database.is_sqlite:
                raise ConfigurationError(_unusable(location, error)) from error
            why = in_words(error)
            text = f"the ledger {location} cannot be used yet ({why}): decisions wait in its spool"
            logger.error("ledger_unreachable", text, ledger=location, why=why)
        ledger = SqlLedger(
            database,
            Spool.create(location.spool_folder, location.name),
            commit_wait_s=commit_wait_s or COMMIT_WAIT_S,
            limits=limits,
        )
        on_failure.pop_all()
        return ledger


def open_archive(location: Location) -> SqlArchive:
    """The archive at ``location``, for a command. Close it after use.

    Raises:
        ConfigurationError: the database is not there, or cannot be used.
    """
    from sqlalchemy.exc import DBAPIError

    from serve_app.database.access import open_database
    from serve_app.ledger.sql_archive import SqlArchive

    _require_there(location)
    database = open_database(location)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(database.close)
        try:
            database.prepare()
        except DBAPIError as error:
            raise ConfigurationError(_unusable(location, error)) from error
        on_failure.pop_all()
        return SqlArchive(database)


def back_up(location: Location | None, file: Path) -> None:
    """Copy a ledger that is a file, while it is in use, to a new file of this user alone.

    Raises:
        ConfigurationError: the ledger is no file, or not there, or one of the two files cannot be used.
    """
    from sqlalchemy.exc import DBAPIError

    from serve_app.database.access import open_database

    if location is None:
        raise ConfigurationError("`ledger: memory` is lost when the service ends: there is nothing to back up")
    if location.file is None:
        raise ConfigurationError(f"{location} is backed up with PostgreSQL's own pg_dump")
    _require_there(location)
    with contextlib.closing(open_database(location)) as database:
        try:
            database.back_up(file)
        except FileExistsError as error:
            raise ConfigurationError(f"{file} is there already: choose another name") from error
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from error
        except DBAPIError as error:
            raise ConfigurationError(_unusable(location, error)) from error


def _require_there(location: Location) -> None:
    if location.file is not None and not location.file.exists():
        raise ConfigurationError(f"there is no ledger at {location}: name the configuration of the service as --config")


def _unusable(location: Location, error: DBAPIError) -> str:
    # The driver's own words: neither of them repeats a password or a row.
    return f"the ledger {location} cannot be used: {str(error.orig).splitlines()[0]}"
