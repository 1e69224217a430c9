"""Tables of PostgreSQL are brought up to date while others use them: nobody waits for long, and nobody is put off."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from serve_app.database import access, schema
from serve_app.database.access import Database, open_database
from serve_app.database.location import Location
from serve_app.domain import ConfigurationError
from serve_app.ledger.opening import open_archive
from tests.contract.conftest import fresh_location


@pytest.fixture
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    """A database with the tables of the first version."""
    location = fresh_location(request, "postgresql", tmp_path)
    with contextlib.closing(open_database(location)) as database, database.writing() as connection:
        schema.migrate(connection, 1)
    monkeypatch.setattr(access, "MIGRATION_LOCK_MS", 50)
    monkeypatch.setattr(access, "MIGRATION_PAUSE_S", 0.01)
    return location


@pytest.fixture
def others(old: Location) -> Iterator[Database]:
    """Another program, which uses the tables."""
    with contextlib.closing(open_database(old)) as database:
        yield database


def version_of(connection: Connection) -> int:
    return schema.require_usable(connection)


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 30.0
    while not is_so():
        assert time.monotonic() < give_up_s, "waited in vain"


@pytest.mark.parametrize("table", ["decisions", "contexts", "label_scores", "list_version", "audit"])
def test_a_migration_tries_again_until_a_long_transaction_is_over(
    old: Location, others: Database, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MIGRATED_WITHIN_S", 50.0)
    with contextlib.closing(open_database(old)) as database, ThreadPoolExecutor(1) as threads:
        if table == "list_version":  # which the first version has not
            with database.writing() as connection:
                schema.migrate(connection, 4)
        with others.writing() as user:
            user.execute(text(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE"))  # as whoever writes it
            migrating = threads.submit(database.prepare)
            wait_until(lambda: is_waiting_for(others, table))
            wait_until(lambda: not is_waiting_for(others, table))
            with others.reading() as beside:
                beside.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # it may wait, for a moment
            assert not migrating.done()
        migrating.result(timeout=30.0)
        with database.reading() as connection:
            assert version_of(connection) == schema.SCHEMA_VERSION


def is_waiting_for(database: Database, table: str) -> bool:
    found = text("SELECT count(*) FROM pg_locks WHERE relation = to_regclass(:name) AND NOT granted")
    with database.reading() as connection:
        return bool(connection.execute(found, {"name": table}).scalar_one())


def test_a_transaction_that_does_not_end_is_named_with_the_way_out(
    old: Location, others: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MIGRATED_WITHIN_S", 0.0)
    with contextlib.closing(open_database(old)) as database:
        with others.writing() as user:
            pid = user.execute(text("SELECT pg_backend_pid()")).scalar_one()
            user.execute(text("SELECT count(*) FROM decisions"))
            way_out = rf"process id {pid} uses them .*end it with pg_terminate_backend\({pid}\)"
            with pytest.raises(OperationalError, match=way_out):
                database.prepare()
            with pytest.raises(ConfigurationError, match=rf"cannot be used: the tables have to be .*{way_out}"):
                open_archive(old)
            with others.reading() as beside:
                assert version_of(beside) == 1, "nothing of it is half done"
        database.prepare()


def test_only_a_transaction_that_uses_the_tables_is_named(
    old: Location, others: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one of the program that migrates, nor any other in this database, however long they last."""
    monkeypatch.setattr(access, "MIGRATED_WITHIN_S", 0.0)
    with (
        contextlib.closing(open_database(old)) as database,
        ThreadPoolExecutor(1) as threads,
        others.writing() as bystander,
        contextlib.ExitStack() as preparing,
    ):
        bystander.execute(text("SELECT count(*) FROM pg_class"))
        preparing.enter_context(others._alone())
        migrating = threads.submit(database.prepare)
        wait_until(lambda: is_waiting_to_prepare(others))
        with others.writing() as user:
            pid = user.execute(text("SELECT pg_backend_pid()")).scalar_one()
            user.execute(text("SELECT count(*) FROM decisions"))
            preparing.close()
            with pytest.raises(OperationalError, match=rf"process id {pid} uses them "):
                migrating.result(timeout=30.0)


def is_waiting_to_prepare(database: Database) -> bool:
    found = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with database.reading() as connection:
        return bool(connection.execute(found).scalar_one())
