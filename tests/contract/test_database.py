"""The tables and their versions, and leases, on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import sqlite

from benchmarks.postgres import Server
from serve_app.database import schema
from serve_app.database.access import Database, open_database
from serve_app.database.lease import Lease
from serve_app.database.location import Location
from serve_app.database.tables import leases, metadata, schema_version
from serve_app.domain import ConfigurationError
from serve_app.domain.limits import MediaLimits
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.ledger import open_ledger, queries
from serve_app.ledger.entries import Entry, EntryWriter
from serve_app.lists.sql_store import SqlListStore
from tests.contract.conftest import patient_ledger

if TYPE_CHECKING:
    from tests.contract.conftest import Made

ROOT = Path(__file__).parents[2]

NEXT_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{next:04}", "{now:04}", None, None
OLDEST_COMPATIBLE = {oldest_compatible}


def upgrade():
    op.add_column("decisions", sa.Column("mood", sa.Text, nullable=False, server_default="calm"))
    op.create_table("moods", sa.Column("mood", sa.Text, primary_key=True))


def downgrade():
    op.drop_table("moods")
    op.drop_column("decisions", "mood")
"""


@pytest.fixture
def database(location: Location) -> Iterator[Database]:
    opened = open_database(location)
    yield opened
    opened.close()


@pytest.fixture
def migrations_of_next_version(tmp_path: Path) -> Callable[[int], Path]:
    """The migrations of a version that does not exist yet, which expands."""

    def make(oldest_compatible: int) -> Path:
        folder = tmp_path / "migrations"
        shutil.copytree(Path(schema.__file__).with_name("migrations"), folder, dirs_exist_ok=True)
        now = schema.SCHEMA_VERSION
        text = NEXT_MIGRATION.format(now=now, next=now + 1, oldest_compatible=oldest_compatible)
        (folder / "versions" / "next.py").write_text(text, "utf-8")
        return folder

    return make


def version_of(database: Database) -> tuple[int, int]:
    with database.reading() as connection:
        version, oldest_compatible = connection.execute(sa.select(schema_version)).one()
    return version, oldest_compatible


@pytest.mark.parametrize("expires_at_us", [None, 1])
def test_an_error_never_repeats_a_row(database: Database, expires_at_us: int | None) -> None:
    database.prepare()
    source = "-".join(("a", "source"))  # a traceback has the text of this test, too
    taken = sa.insert(leases).values(name=source, holder="h", expires_at_us=1)
    with database.writing() as connection:
        connection.execute(taken)
    with pytest.raises(sa.exc.IntegrityError) as raised, database.writing() as connection:
        connection.execute(taken.values(expires_at_us=expires_at_us))
    told = "".join(traceback.format_exception(raised.value))
    assert source not in told
    assert "leases" in told


# The tables


def test_the_migrations_make_the_tables_that_the_program_knows(database: Database) -> None:
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert version_of(database)[0] == schema.SCHEMA_VERSION


def test_a_long_audit_is_not_searched_from_end_to_end(migrated_file: Path) -> None:
    statement = str(
        queries.audited("purge", 1).compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    )
    with contextlib.closing(sqlite3.connect(migrated_file)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    steps = [row[-1].partition(" (")[0] for row in plan]
    assert steps == ["SEARCH audit USING INDEX audit_by_action"]


def test_there_is_a_migration_for_every_version_and_none_that_is_forgotten() -> None:
    files = sorted(Path(schema.__file__).with_name("migrations").joinpath("versions").glob("v*.py"))
    numbers = [int(file.name[1:5]) for file in files]
    assert numbers == list(range(1, schema.SCHEMA_VERSION + 1))


def test_each_migration_can_be_undone_and_keeps_the_lists(database: Database) -> None:
    store = SqlListStore(database)
    pdq = Fingerprint(FingerprintType.PDQ, bytes(32))
    (entry,) = store.add([EntryDraft(kind=ListKind.DENY, fingerprint=pdq, bank="ours", reason="known")]).first_ids
    store.suspend([entry])
    store.forget_removals(datetime(2026, 11, 26, tzinfo=UTC))
    for version in range(schema.SCHEMA_VERSION - 1, 1, -1):
        with database.writing() as connection:
            schema.migrate(connection, version)
    with database.writing() as connection:
        schema.migrate(connection, schema.SCHEMA_VERSION)
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert (store.suspended_count(), [each.id for each in store.page()]) == (1, [entry])


async def test_a_program_runs_on_the_tables_of_the_next_version(
    location: Location,
    database: Database,
    made: Made,
    migrations_of_next_version: Callable[[int], Path],
) -> None:
    with database.writing() as connection:
        now = schema.SCHEMA_VERSION
        schema.migrate(connection, now + 1, migrations_of_next_version(now))
    assert version_of(database) == (now + 1, now)
    ledger = patient_ledger(location)
    await ledger.record(made.decision(1))
    found = await ledger.get("r-1")
    assert found is not None
    assert found.decision == made.decision(1)
    ledger.close()


def test_tables_that_need_a_newer_program_are_refused_and_left_alone(
    location: Location, database: Database, migrations_of_next_version: Callable[[int], Path]
) -> None:
    newer = schema.SCHEMA_VERSION + 1
    with database.writing() as connection:
        schema.migrate(connection, newer, migrations_of_next_version(newer))
    with pytest.raises(ConfigurationError, match=f"tables of version {newer}.*install the newer Pictwarden again"):
        open_ledger(location)
    assert version_of(database) == (newer, newer)


async def test_an_admin_can_go_back_by_one_and_keeps_every_decision(
    location: Location,
    database: Database,
    made: Made,
    migrations_of_next_version: Callable[[int], Path],
) -> None:
    now = schema.SCHEMA_VERSION
    migrations = migrations_of_next_version(now + 1)
    ledger = patient_ledger(location)
    await ledger.record(made.decision(1))
    ledger.close()
    with database.writing() as connection:
        schema.migrate(connection, now + 1, migrations)
    # By the newer program, which has its migrations still.
    with pytest.MonkeyPatch.context() as newer_program, database.writing() as connection:
        newer_program.setattr(schema, "SCHEMA_VERSION", now + 1)
        schema.migrate(connection, now, migrations)
    assert version_of(database)[0] == now
    ledger = patient_ledger(location)
    assert await ledger.get("r-1") is not None
    ledger.close()
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


async def test_decisions_of_an_earlier_version_are_read_and_those_of_its_spool_written(
    location: Location, database: Database, made: Made
) -> None:
    new = {"lane", "shadow_judgement", "worker"}
    earlier = Entry.of(made.decision(1), MediaLimits().media_key)
    rows = dict(earlier.rows)
    rows["decisions"] = {name: value for name, value in rows["decisions"].items() if name not in new}
    rows["label_scores"] = {name: value for name, value in rows["label_scores"].items() if name not in new}
    rows["contexts"] = {name: value for name, value in rows["contexts"].items() if name != "model_parts"}
    later = Entry.of(made.decision(2), MediaLimits().media_key)
    rows_to_come = dict(later.rows)
    rows_to_come["decisions"] = {**rows_to_come["decisions"], "mood": "calm"}
    EntryWriter(database).write([Entry(rows, earlier.importance), Entry(rows_to_come, later.importance)])
    ledger = patient_ledger(location)
    for number in (1, 2):
        found = await ledger.get(f"r-{number}")
        assert found is not None
        assert found.decision == made.decision(number)
    ledger.close()


PREPARE = """
import sys
from pathlib import Path
from serve_app.database.access import open_database
from serve_app.database.location import Location
file, url = sys.argv[1:]
open_database(Location(Path("/nowhere"), Path(file) if file else None, url)).prepare()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_programs_that_start_together_migrate_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    location = Location(tmp_path, tmp_path / "ledger.db")
    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        server.execute("CREATE DATABASE together TEMPLATE template0", "template1")
        location = Location(tmp_path, url=server.url("together"))
    command = [sys.executable, "-c", PREPARE, str(location.file or ""), location.url]
    programs = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for program in programs:
        _, errors = program.communicate(timeout=50)
        assert program.returncode == 0, errors
    database = open_database(location)
    assert version_of(database)[0] == schema.SCHEMA_VERSION
    database.close()


# The file


def test_a_new_file_and_its_folder_are_their_users_alone(tmp_path: Path) -> None:
    file = tmp_path / "state" / "ledger.db"
    database = open_database(Location(file.parent, file))
    database.prepare()
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}
    assert {"ledger.db", "ledger.db-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    database.close()


def test_a_file_that_others_could_read_becomes_private(migrated_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    shutil.copy(migrated_file, file)
    file.chmod(0o644)
    open_database(Location(tmp_path, file)).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["a file where the folder is to be", None])
def test_a_file_that_cannot_be_made_is_refused_with_the_way_out(tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "state"
    if content is None:
        folder.symlink_to("/proc/nowhere")
    else:
        folder.write_text(content, "ascii")
    with pytest.raises(ConfigurationError, match=r"ledger\.db cannot be written \(.*set `ledger` to a path"):
        open_database(Location(folder, folder / "ledger.db"))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_text("this is a text, and it is longer than the head of a database has to be, " * 10, "ascii")
    with pytest.raises(ConfigurationError, match="cannot be used: file is not a database"):
        open_ledger(Location(tmp_path, file))


# Leases


def test_a_lease_has_one_holder_who_renews_it(database: Database) -> None:
    one, other, another_work = (Lease(database, name) for name in ("work", "work", "other work"))
    assert one.hold()
    assert not other.hold()
    assert one.hold()
    assert another_work.hold()
    one.release()
    assert other.hold()
    assert not one.hold()


def test_a_lease_moves_when_its_holder_does_not_renew_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    now_us = [1_000_000_000_000]
    monkeypatch.setattr(Database, "now_us", lambda *_: now_us[0])
    one, other = (Lease(database, "work") for _ in range(2))
    assert one.hold()
    now_us[0] += 25_000_000
    assert not other.hold()
    now_us[0] += 1
    assert other.hold()
    assert not one.hold(), "it died, or it slept"
    other.release()
    assert one.hold()


def test_who_imports_next_need_not_wait_until_the_server_sees_that_a_connection_is_gone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sa.Connection, "invalidate", lambda _: None)  # a server that does not see it at all
    database.prepare()
    with contextlib.closing(open_database(database.location)) as other:
        for importing, refused in ((database, other), (other, database)):
            with importing.alone_in_importing() as first, refused.alone_in_importing() as second:
                assert (first is None, second is None) == (False, True)


def test_the_clock_of_the_database_is_a_clock(database: Database) -> None:
    with database.reading() as connection:
        first, second = database.now_us(connection), database.now_us(connection)
    assert 1_700_000_000_000_000 < first <= second


def test_an_error_does_not_repeat_what_was_to_be_written(location: Location) -> None:
    with contextlib.closing(open_database(location)) as database:
        statement = sa.text("INSERT INTO nowhere VALUES (:fingerprint)")
        with pytest.raises(sa.exc.DBAPIError) as raised, database.writing() as connection:
            connection.execute(statement, {"fingerprint": "a blurred sketch"})
    assert "nowhere" in str(raised.value)
    assert "sketch" not in str(raised.value)


ANOTHER_PROGRAM = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print([row for row, in connection.execute("SELECT name FROM leases ORDER BY name")])
connection.close()
"""


def test_another_program_that_closes_the_database_leaves_the_log_of_the_first_one(
    migrated_file: Path, tmp_path: Path
) -> None:
    """Ledger and lists open the same file in one process: what opens it second must not end the first one's locks."""
    file = tmp_path / "ledger.db"
    shutil.copy(migrated_file, file)
    location = Location(tmp_path, file)

    def seen_by_another_program() -> str:
        command = [sys.executable, "-c", ANOTHER_PROGRAM, str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with contextlib.closing(open_database(location)) as first:
        for number in range(3):
            with first.writing() as connection:
                connection.execute(leases.insert().values(name=f"{number}", holder="a", expires_at_us=1))
            with contextlib.closing(open_database(location)):
                assert seen_by_another_program() == str([f"{each}" for each in range(number + 1)])
            with contextlib.closing(open_database(location)) as again, again.writing() as connection:
                connection.execute(sa.text("SELECT 1"))
