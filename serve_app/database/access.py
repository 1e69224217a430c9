"""The database: opened, prepared, read and written. For threads, and never for an event loop."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from serve_app.database.file_system import network_file_system
from serve_app.database.location import Location
from serve_app.database.schema import SCHEMA_VERSION, bring_up_to_date, require_usable
from serve_app.database.tables import metadata
from serve_app.domain import ConfigurationError, UnavailableError, in_words
from serve_app.host.secret_files import read_secret
from serve_app.host.state_folder import make_private_file, make_private_folder

# For a lock that another writer holds while a slow disk keeps it waiting, and for a server that does not answer. An
# answer waits for none of them.
_LOCK_WAIT_S = 10.0
_CONNECT_S = 3
_STATEMENT_MS = 10_000
_UNACKNOWLEDGED_MS = 5_000

MIGRATION_LOCK_MS = 500
"""For which a migration waits for a lock of PostgreSQL, since every other statement on its table waits behind it."""

MIGRATION_PAUSE_S = 1.0
MIGRATED_WITHIN_S = 10.0
"""Seconds for which a migration that met a lock is tried again, after a pause each time."""

_LOCKED = frozenset({"55P03", "40P01"})  # PostgreSQL's lock_not_available and deadlock_detected

# As libpq calls it; PGPASSWORD_FILE is of our own.
_PASSWORD_ENV = "PGPASSWORD"  # noqa: S105 - a name

# Of PostgreSQL's advisory locks; any numbers that nobody else uses.
_MIGRATION_LOCK = 0x7069_6374
_WRITERS_LOCK = _MIGRATION_LOCK + 1
_IMPORT_LOCK = _MIGRATION_LOCK + 2
_SCORES_LOCK = _MIGRATION_LOCK + 3

_POSTGRESQL_OPTIONS = {
    "connect_timeout": _CONNECT_S,
    "application_name": "pictwarden",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": _UNACKNOWLEDGED_MS,
    "options": f"-c statement_timeout={_STATEMENT_MS} -c lock_timeout={int(_LOCK_WAIT_S * 1e3)} -c timezone=UTC",
}

# Of a connection to SQLite: the statement that begins a transaction; none, where the option is empty.
_BEGIN = "pictwarden_begin"


class Database:
    """An engine and its location. :meth:`prepare` comes before everything else."""

    def __init__(self, location: Location, engine: Engine) -> None:
        self.location = location
        self._engine = engine
        # A transaction costs a look-up two statements more, of a server two round trips, and it does not need one.
        self._one_moment = engine if self.is_sqlite else engine.execution_options(isolation_level="REPEATABLE READ")
        apart = {_BEGIN: ""} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._reader = engine.execution_options(**apart)
        self._preparing = threading.Lock()
        self._is_prepared = False

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of this machine."""
        return self.location.file is not None

    def prepare(self) -> None:
        """Make the tables, or bring them up to date, once; programs that start at one time wait for each other.

        A transaction that uses the tables for long keeps them as they are, and nobody else waits for that.

        Raises:
            ConfigurationError: the tables are newer than this program can use.
            sqlalchemy.exc.DBAPIError: the database cannot be reached or written.
        """
        if not self._is_prepared:
            with self._preparing:
                self._prepare()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads, each statement by itself."""
        with self._reader.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading_one_moment(self) -> Iterator[Connection]:
        """A transaction that only reads, and sees the database as it was at its first statement."""
        with self._one_moment.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed, to the disk, at the end of the block."""
        with self._engine.connect().execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}) as connection, connection.begin():
            yield connection

    def wait_for_others(self, connection: Connection) -> None:
        """In a transaction that writes: wait until the others that call this are over. SQLite has one writer anyway."""
        if not self.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITERS_LOCK})

    def share_scores(self, connection: Connection) -> None:
        """In a transaction that reads who is in doubt, and then writes scores: these do not exclude each other."""
        if not self.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _SCORES_LOCK})

    def wait_for_scores(self) -> None:
        """Return once each transaction is over that called :meth:`share_scores` before."""
        if self.is_sqlite:
            return  # it has one writer at a time
        with self.writing() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCORES_LOCK})

    @contextlib.contextmanager
    def alone_in_importing(self) -> Iterator[Callable[[], None] | None]:
        """No other thread or program imports into this database meanwhile; None if one does already.

        Of a program that dies nothing remains. What is yielded checks that it still holds, and raises
        ``sqlalchemy.exc.DBAPIError`` or :class:`UnavailableError` where the connection was lost.
        """
        if self.location.file is not None:
            file = self.location.file.with_name(self.location.file.name + ".import.lock")
            make_private_file(file)
            with file.open("wb") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield None
                else:
                    yield lambda: None
            return
        with self._reader.connect() as connection:
            session = "SELECT pg_backend_pid()"
            own = connection.execute(text(session)).scalar_one()
            wanted = text("SELECT pg_try_advisory_lock(:key)")
            if not connection.execute(wanted, {"key": _IMPORT_LOCK}).scalar_one():
                yield None
                return

            def require_alone() -> None:
                if connection.execute(text(session)).scalar_one() != own:
                    raise UnavailableError("the connection to the database was lost: import again")

            try:
                yield require_alone
            finally:
                # Whoever asks next has the lock at once: the server may take a while to see that a connection is gone.
                try:
                    with contextlib.suppress(SQLAlchemyError):
                        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _IMPORT_LOCK})
                finally:
                    connection.invalidate()  # with its lock, where it could not be released

    def probe(self) -> None:
        """Return if the database can probably be written now.

        Raises:
            sqlalchemy.exc.DBAPIError: it cannot.
            ConfigurationError: as :meth:`prepare`.
        """
        self.prepare()
        with self.writing() as connection:
            connection.execute(text("SELECT 1"))

    def now_us(self, connection: Connection) -> int:
        """Microseconds since 1970 on the one clock of all programs that share this database."""
        if self.is_sqlite:
            return time.time_ns() // 1000
        now = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        return int(connection.execute(now).scalar_one())

    def empty_log(self) -> bool:
        """Empty SQLite's log, which still has what was erased from the tables: whether it is empty.

        It waits for nobody, because commits would wait for it: False while others read or write.
        """
        if not self.is_sqlite:
            return True
        with self._engine.connect().execution_options(**{_BEGIN: ""}) as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 0")
            try:
                is_busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {_LOCK_WAIT_S * 1e3:.0f}")
        return not is_busy

    def back_up(self, file: Path) -> None:
        """Copy a SQLite database, while it is in use, to a new file of this user alone. Nothing of a failed copy stays.

        Raises:
            ValueError: the database is none of SQLite.
            FileExistsError: ``file`` is there already.
            sqlalchemy.exc.DBAPIError: the database cannot be read, or ``file`` not be written.
        """
        if not self.is_sqlite:
            raise ValueError("the database is not a file")
        make_private_folder(file.parent)
        # VACUUM INTO takes an empty file, and leaves its mode.
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with self._engine.connect().execution_options(**{_BEGIN: ""}) as connection:
                connection.execute(text("VACUUM INTO :file"), {"file": str(file)})
        except BaseException:
            file.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Close connections that nobody uses."""
        self._engine.dispose()

    def _prepare(self) -> None:
        if self._is_prepared:  # by the thread that had the lock before
            return
        with self.reading() as connection:
            is_current = require_usable(connection) >= SCHEMA_VERSION
        if not is_current:
            with self._alone():
                self._migrate()
        self._is_prepared = True

    def _migrate(self) -> None:
        give_up_s = time.monotonic() + MIGRATED_WITHIN_S
        while True:
            try:
                with self.writing() as connection:
                    if not self.is_sqlite:
                        connection.execute(text(f"SET LOCAL lock_timeout = {MIGRATION_LOCK_MS}"))
                        connection.execute(text("SET LOCAL statement_timeout = 0"))  # a long table takes its time
                    bring_up_to_date(connection)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _LOCKED:
                    raise
                if time.monotonic() >= give_up_s:
                    raise OperationalError(None, None, _TablesInUseError(self._longest_session())) from error
                time.sleep(MIGRATION_PAUSE_S)
            else:
                return

    def _longest_session(self) -> int | None:
        """The process id, at the server, of the longest transaction that uses the tables."""
        longest = text(
            "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database() AND granted "
            "AND relation IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name) "
            "AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1"
        )
        with self.reading() as connection:
            found: int | None = connection.execute(longest, {"tables": list(metadata.tables)}).scalar_one_or_none()
            return found

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other program prepares the same database meanwhile."""
        if self.location.file is None:
            with self._engine.connect() as connection:
                try:
                    connection.execute(text("SET lock_timeout = 0"))
                    connection.execute(text("SET statement_timeout = 0"))
                    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
                    yield
                finally:
                    connection.invalidate()  # its setting and its lock go with it
            return
        lock = self.location.file.with_name(self.location.file.name + ".lock")
        make_private_file(lock)
        with lock.open("wb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


class _TablesInUseError(Exception):
    """Why the tables stay as they are, in words."""

    def __init__(self, session: int | None) -> None:
        one, pid = ("a session", "pid") if session is None else (f"the session with the process id {session}", session)
        super().__init__(
            f"the tables have to be brought up to date, and {one} uses them in a long transaction: wait until that is "
            f"over, or end it with pg_terminate_backend({pid})"
        )


def open_database(location: Location) -> Database:
    """The database at ``location``; of SQLite, its file is made if it is not there.

    Raises:
        ConfigurationError: the file cannot be made or written, or is on a network file system.
    """
    if location.file is None:
        engine = create_engine(
            make_url(location.url).set(drivername="postgresql+psycopg"),
            connect_args=_POSTGRESQL_OPTIONS,
            hide_parameters=True,  # in what an error says of itself: they are fingerprints, and sources
            pool_timeout=_CONNECT_S,
        )
        event.listen(engine, "handle_error", _shorten)
        event.listen(engine, "do_connect", _add_password)
        return Database(location, engine)
    _make_file(location.file)
    engine = create_engine(
        URL.create("sqlite", database=str(location.file)),
        # The driver would begin transactions by itself, and not where tables are made.
        connect_args={"timeout": _LOCK_WAIT_S, "isolation_level": None, "check_same_thread": False},
        pool_timeout=_LOCK_WAIT_S,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Database(location, engine)


def is_outage(error: BaseException) -> bool:
    """Whether the database, and not what was to be written, is the reason for ``error``."""
    if isinstance(error, DBAPIError):
        return not isinstance(error, DataError | IntegrityError)
    return isinstance(error, PoolTimeoutError | OSError | ConfigurationError)


@in_words.register
def _(error: DBAPIError) -> str:
    if not is_outage(error):
        # The text of these repeats rows, in which there may be fingerprints under contract.
        return "the database refuses what is to be written"
    return str(error.orig).partition("\n")[0] or "the database does not answer"


@in_words.register
def _(_: PoolTimeoutError) -> str:
    return "no connection to the database was free in time"


def _add_password(_dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> None:
    """That of a file, as it is now: libpq reads only the environment, and files of a form of its own."""
    if password := read_secret(_PASSWORD_ENV):
        options["password"] = password


def _make_file(file: Path) -> None:
    try:
        make_private_folder(file.parent)
        if kind := network_file_system(file.parent):
            raise ConfigurationError(
                f"the ledger {file} is on a network file system ({kind}), whose locks SQLite cannot trust: set "
                "`ledger` to a path on a local disk, or to a PostgreSQL database"
            )
        make_private_file(file)
    except OSError as error:
        raise ConfigurationError(
            f"the ledger {file} cannot be written ({error.strerror}): set `ledger` to a path that the service can "
            "write, or start in a folder that it can write to"
        ) from error


def _set_up_sqlite(connection: sqlite3.Connection, _: object) -> None:
    cursor = connection.cursor()
    # Readers never wait for the writer; and a commit is on the disk when it returns, whatever becomes of the machine.
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    # Erased rows are overwritten: a fingerprint that was forgotten is gone from the file as well.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _shorten(context: ExceptionContext) -> None:
    """Leave the first line of an error: the others of PostgreSQL's repeat rows, which are hashes, and sources."""
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None and error.args:
            error.args = (str(error.args[0]).partition("\n")[0], *error.args[1:])


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins by reading could not write once another one has written meanwhile.
    if begin := connection.get_execution_options().get(_BEGIN, "BEGIN"):
        connection.exec_driver_sql(begin)
