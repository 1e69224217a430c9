"""The ledger that the settings ask for, opened. Libraries of databases are imported only where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from serve_app.answer_log import AnswerLogger
from serve_app.database.location import Location
from serve_app.domain import ConfigurationError, DecisionArchive, Ledger
from serve_app.ledger.memory import MemoryLedger

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

    from serve_app.ledger.sql_archive import SqlArchive

logger = AnswerLogger(__name__)


class OpenLedger(Ledger, DecisionArchive, Protocol):
    """A ledger and its archive. Close it after use."""

    def close(self) -> None:
        """End what it has started."""
        ...


def open_ledger(location: Location | None) -> OpenLedger:
    """The ledger at ``location``; in memory if that is None.

    A PostgreSQL server that cannot be reached now does not keep the service from starting: decisions wait in the spool.

    Raises:
        ConfigurationError: the database cannot be used, or there is no room for the spool.
    """
    if location is None:
        return MemoryLedger()
    from sqlalchemy.exc import DBAPIError

    from serve_app.database.engine import open_database
    from serve_app.ledger.spool import Spool
    from serve_app.ledger.sql import SqlLedger

    database = open_database(location)
    try:
        database.prepare()
    except DBAPIError as error:
        if database.is_sqlite:
            raise ConfigurationError(_unusable(location, error)) from error
        logger.error("the ledger %s cannot be reached: decisions wait in its spool", location)
    return SqlLedger(database, Spool.create(location.spool_folder, location.name))


def open_archive(location: Location) -> SqlArchive:
    """The archive at ``location``, for a command.

    Raises:
        ConfigurationError: the database is not there, or cannot be used.
    """
    from sqlalchemy.exc import DBAPIError

    from serve_app.database.engine import open_database
    from serve_app.ledger.sql_archive import SqlArchive

    if location.file is not None and not location.file.exists():
        raise ConfigurationError(f"there is no ledger at {location}: give the configuration of the service as --config")
    database = open_database(location)
    try:
        database.prepare()
    except DBAPIError as error:
        raise ConfigurationError(_unusable(location, error)) from error
    return SqlArchive(database)


def _unusable(location: Location, error: DBAPIError) -> str:
    # The driver's own words: neither of them repeats a password or a row.
    return f"the ledger {location} cannot be used: {str(error.orig).splitlines()[0]}"
