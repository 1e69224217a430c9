"""A database that cannot be written costs no decision: it waits in the spool, and comes back in order.

The faults are real: a full disk, a lock, a file that cannot be written, a server that was killed or stands still.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING

import psutil
import pytest
from sqlalchemy import text

from benchmarks.postgres import Server, running_server, server_folder
from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.domain import (
    Decision,
    DecisionFilter,
    ForgetScope,
    LedgerHealth,
    RecordedDecision,
    Unscanned,
    UnscannedReason,
    Verdict,
)
from serve_app.domain.limits import MediaLimits
from serve_app.ledger import OpenLedger, open_ledger
from serve_app.ledger.entries import Entry
from serve_app.ledger.refused_decisions import REFUSED
from serve_app.ledger.spool import FullSpoolError, Spool
from serve_app.ledger.sql import SqlLedger
from tests.contract.conftest import patient_ledger

if TYPE_CHECKING:
    from tests.contract.conftest import Made

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ANSWER_WAIT_S = 0.2
"""Of an answer for a sink: serve_app/moderation/sinks.py."""


@contextlib.asynccontextmanager
async def opened(location: Location) -> AsyncIterator[SqlLedger]:
    ledger = open_ledger(location)
    assert isinstance(ledger, SqlLedger)
    try:
        yield ledger
    finally:
        await asyncio.to_thread(ledger.close)


async def eventually(condition: Callable[[], bool], wait_s: float = 30.0) -> None:
    give_up_s = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < give_up_s, "waited in vain"
        await asyncio.sleep(0.02)


async def until_well(ledger: SqlLedger) -> None:
    """Every decision is in the database: a commit that takes longer than an answer waits goes through the spool."""
    await eventually(lambda: ledger.health().problem is None and ledger.health().spooled == 0)


async def names(ledger: OpenLedger) -> list[str]:
    """Every recorded decision, oldest first."""
    found = await ledger.search(DecisionFilter(), limit=1_000_000)
    return [each.decision.request_id for each in found.records][::-1]


async def require_spooled_and_taken_back(
    ledger: SqlLedger, made: Made, mend: Callable[[], object], number_of_decisions: int = 5
) -> None:
    """The database is broken now, and until ``mend`` is called."""
    for number in range(1, 1 + number_of_decisions):
        await ledger.record(made.decision(number))
    await eventually(lambda: ledger.health().problem is not None)
    assert ledger.health().spooled == number_of_decisions
    assert ledger.health().spool_bytes > 0
    assert ledger.health().lag_s > 0
    assert ledger.health().dropped == 0
    assert await ledger.recall(made.picture, made.model.digest) is None, "nobody waits for it"
    mend()
    await until_well(ledger)
    assert await names(ledger) == [f"r-{number}" for number in range(number_of_decisions + 1)]
    assert await ledger.recall(made.picture, made.model.digest) is not None
    await ledger.record(made.decision(number_of_decisions + 1))
    await until_well(ledger)


@pytest.fixture
def file_location(migrated_file: Path, tmp_path: Path) -> Location:
    shutil.copy(migrated_file, tmp_path / "ledger.db")
    return Location(tmp_path, tmp_path / "ledger.db")


# SQLite


async def test_a_database_that_another_connection_has_locked(file_location: Location, made: Made) -> None:
    assert file_location.file is not None
    async with opened(file_location) as ledger:
        await ledger.record(made.decision(0))
        await until_well(ledger)
        with contextlib.closing(sqlite3.connect(file_location.file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await require_spooled_and_taken_back(ledger, made, lambda: other.execute("ROLLBACK"))


async def test_a_picture_is_recalled_while_admins_wait_for_the_database(file_location: Location, made: Made) -> None:
    assert file_location.file is not None
    async with opened(file_location) as ledger:
        await ledger.record(made.decision(0))
        await until_well(ledger)
        with contextlib.closing(sqlite3.connect(file_location.file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            scope = ForgetScope(sha256=made.other_picture)
            forgetting = [asyncio.create_task(ledger.forget(scope, "admin")) for _ in range(4)]
            await asyncio.sleep(0)  # so that they come first
            assert await ledger.recall(made.picture, made.model.digest) is not None
            assert not any(each.done() for each in forgetting)
            other.execute("ROLLBACK")
        await asyncio.gather(*forgetting)


async def test_a_database_that_answers_again_is_used_again_though_decisions_never_cease(
    file_location: Location, made: Made
) -> None:
    assert file_location.file is not None
    is_over = asyncio.Event()

    async def record(first: int) -> int:
        number = first
        while not is_over.is_set():
            await ledger.record(made.decision(number))
            number += 20
        return (number - first) // 20

    async with opened(file_location) as ledger:
        with contextlib.closing(sqlite3.connect(file_location.file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            recording = [asyncio.create_task(record(first)) for first in range(20)]
            await eventually(lambda: ledger.health().spooled > 300)
            other.execute("ROLLBACK")
        await eventually(lambda: ledger.health() == LedgerHealth())
        is_over.set()
        count = sum(await asyncio.gather(*recording))
        await eventually(lambda: ledger.health() == LedgerHealth())
        assert len(await names(ledger)) == count


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_full_disk(small_disk: Path, made: Made) -> None:
    with contextlib.closing(patient_ledger(Location(small_disk, small_disk / "ledger.db"))) as ledger:
        await ledger.record(made.decision(0))
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(bytes(4096))
        # What is left in the last page of the database's log takes some decisions more.
        number = 0
        while ledger.health().problem is None:
            number += 1
            await ledger.record(made.decision(number))
        in_database = number - ledger.health().spooled
        for later in range(number + 1, number + 20):
            await ledger.record(made.decision(later))
        assert ledger.health().spooled == number + 19 - in_database, "its room was reserved"
        filler.unlink()
        await until_well(ledger)
        assert await names(ledger) == [f"r-{each}" for each in range(number + 20)]


async def test_a_decision_that_cannot_be_written_costs_no_other_one(file_location: Location, made: Made) -> None:
    assert file_location.file is not None
    async with opened(file_location) as ledger:
        with contextlib.closing(sqlite3.connect(file_location.file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await ledger.record(made.decision(0))
            decisions = [made.decision(number) for number in range(1, 9)]
            decisions[4] = made.decision(5, made.judged(), labels=(object(),))
            results = await asyncio.gather(*map(ledger.record, decisions), return_exceptions=True)
            assert [type(each) for each in results] == [TypeError if number == 4 else NoneType for number in range(8)]
            other.execute("ROLLBACK")
        await eventually(lambda: ledger.health() == LedgerHealth(dropped=1))
        assert await names(ledger) == [f"r-{number}" for number in range(9) if number != 5]


async def dealt_with(ledger: OpenLedger, request_id: str, wait_s: float = 30.0) -> RecordedDecision:
    """A decision, once it is recorded and not pending."""
    give_up_s = time.monotonic() + wait_s
    while True:
        found = await ledger.get(request_id)
        if found is not None and not found.is_pending:
            return found
        assert time.monotonic() < give_up_s, "waited in vain"
        await asyncio.sleep(0.02)


@contextlib.contextmanager
def nothing_is_recorded(location: Location) -> Iterator[None]:
    """Every decision waits for a lock until the block ends."""
    with contextlib.closing(open_database(location)) as database, database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text("LOCK TABLE decisions IN EXCLUSIVE MODE"))
        yield


async def test_a_pending_decision_that_is_recorded_too_late_does_not_count_as_let_through(
    location: Location, made: Made
) -> None:
    unscanned = Unscanned(UnscannedReason.DEADLINE, "no time was left")
    spool = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
    with contextlib.closing(SqlLedger(open_database(location), spool, commit_wait_s=30.0)) as ledger:
        await ledger.record(made.decision(0, unscanned))
        with nothing_is_recorded(location):
            for decision in (made.decision(1, unscanned), made.decision(2)):
                with pytest.raises(TimeoutError):  # so the picture of the first one is refused
                    async with asyncio.timeout(0.05):
                        await ledger.record(decision)
            assert ledger.health().dropped == 2
        late, _ = [await dealt_with(ledger, request_id) for request_id in ("r-1", "r-2")]
        assert (late.decision.kept, late.done_how) == (False, REFUSED)
        assert [each.decision.request_id for each in (await ledger.pending()).records] == ["r-0"]
        assert [each.decision.kept for each in (await ledger.search(DecisionFilter())).records] == [True, False, True]


async def test_a_spool_entry_that_cannot_be_recorded_is_told_and_hides_no_other_one(
    location: Location, made: Made
) -> None:
    entries = [Entry.of(made.decision(number), MediaLimits().media_key) for number in (1, 2)]
    rows = {**entries[0].rows, "decisions": {**entries[0].rows["decisions"], "kept": None}}
    left_by_the_dead = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
    # The first line of a spool has what others share.
    left_by_the_dead.append([Entry(rows, entries[0].importance), entries[1]])
    left_by_the_dead.close()
    async with opened(location) as ledger:
        await eventually(lambda: not left_by_the_dead.file.exists())
        assert await names(ledger) == ["r-2"]
        assert ledger.health() == LedgerHealth(dropped=1)


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=1, seconds=59)], ids=["right", "ahead"])
@pytest.mark.parametrize("scope", ["sha256", "source", "before"])
async def test_what_waits_in_a_spool_is_forgotten_as_well(
    location: Location, made: Made, scope: str, ahead: timedelta
) -> None:
    """Also if the machine that decided had a clock almost a minute ahead of the one that forgets, an hour past noon."""
    scopes = {
        "sha256": ForgetScope(sha256=made.other_picture),
        "source": ForgetScope(source="other"),
        "before": ForgetScope(before=made.noon + ahead + timedelta(seconds=2)),
    }
    hour = timedelta(hours=1)

    def open_at(moment: datetime) -> SqlLedger:
        spool = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
        return SqlLedger(open_database(location), spool, wall_clock=lambda: moment, commit_wait_s=30.0)

    # The first line of a spool has what others share.
    late = [
        made.decision(1, decided_at=made.noon + ahead, sha256=made.other_picture, source="other"),
        made.decision(2, decided_at=made.noon + ahead + timedelta(seconds=2)),
        made.decision(3, decided_at=made.noon + 2 * hour, sha256=made.other_picture, source="other"),
    ]
    with contextlib.closing(open_at(made.noon + hour)) as ledger:
        await ledger.forget(scopes[scope], "admin")
    left_by_the_dead = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
    left_by_the_dead.append([Entry.of(each, MediaLimits().media_key) for each in late])
    left_by_the_dead.close()
    with contextlib.closing(open_at(made.noon + 3 * hour)) as ledger:
        await eventually(lambda: not left_by_the_dead.file.exists())
        assert await names(ledger) == ["r-2", "r-3"]


async def test_on_a_full_spool_accepted_decisions_are_lost_first_and_pending_ones_never(
    file_location: Location, made: Made
) -> None:
    assert file_location.file is not None
    spool = Spool.create(file_location.spool_folder, file_location.name, max_bytes=20_000, reserved_bytes=20_000)
    ledger = SqlLedger(open_database(file_location), spool)
    pending = Unscanned(UnscannedReason.DEADLINE, "no time was left")
    kinds: dict[str, Callable[[int], Decision]] = {
        "accepted": made.decision,
        "rejected": lambda number: made.decision(number, made.judged(Verdict.REJECT), kept=False),
        "pending": lambda number: made.decision(number, pending),
    }
    recorded: dict[str, list[str]] = {kind: [] for kind in kinds}
    with contextlib.closing(sqlite3.connect(file_location.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        number = 0
        for _ in range(30):
            for kind, make in kinds.items():
                number += 1
                with contextlib.suppress(FullSpoolError):
                    await ledger.record(make(number))
                    recorded[kind].append(f"r-{number}")
        other.execute("ROLLBACK")
    assert 0 < len(recorded["accepted"]) < len(recorded["rejected"]) < len(recorded["pending"]) == 30
    assert ledger.health().dropped == 90 - sum(map(len, recorded.values()))
    await until_well(ledger)
    assert set(await names(ledger)) >= {name for of_kind in recorded.values() for name in of_kind}
    await asyncio.to_thread(ledger.close)


CRASHING = """
import asyncio, sys
from pathlib import Path
from serve_app.database.location import Location
from serve_app.ledger import open_ledger, retaining
from tests.contract.conftest import Made

async def main():
    retaining.RENEWED_EVERY_S = 3600.0  # so that it does not erase these decisions, whose date is long ago
    ledger = open_ledger(Location(Path(sys.argv[1]), Path(sys.argv[1]) / "ledger.db"))
    made = Made()
    async def record(first):
        for number in range(first, 100_000, 4):
            await ledger.record(made.decision(number))
            sys.stdout.write(f"r-{number}\\n")
            sys.stdout.flush()
    await asyncio.gather(*(record(first) for first in range(4)))

asyncio.run(main())
"""


def killed_while_recording(folder: Path) -> set[str]:
    """The decisions whose recording had returned."""
    command = [sys.executable, "-c", CRASHING, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(40)]
        process.kill()
        told += process.stdout.readlines()
    return {line.strip() for line in told if line.endswith("\n")}


@pytest.mark.parametrize("is_locked", [False, True])
async def test_no_decision_is_lost_whose_recording_had_returned_when_the_process_was_killed(
    file_location: Location, is_locked: bool
) -> None:
    assert file_location.file is not None
    with contextlib.closing(sqlite3.connect(file_location.file, isolation_level=None)) as other:
        if is_locked:
            other.execute("BEGIN IMMEDIATE")
        returned = await asyncio.to_thread(killed_while_recording, file_location.spool_folder)
    assert len(returned) >= 40
    async with opened(file_location) as ledger:
        # Another process takes back what the dead one had in its spool.
        await eventually(lambda: not list(file_location.spool_folder.glob("*.spool-*"))[1:])
        assert returned <= set(await names(ledger))


# PostgreSQL


@pytest.fixture
def own_server() -> Iterator[Server]:
    programs = server_folder()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with running_server(programs) as server:
        yield server


async def test_a_server_that_is_killed_and_comes_back(own_server: Server, made: Made, tmp_path: Path) -> None:
    async with opened(Location(tmp_path, url=own_server.url("postgres"))) as ledger:
        await ledger.record(made.decision(0))
        await until_well(ledger)
        own_server.kill()
        await require_spooled_and_taken_back(ledger, made, own_server.start)


async def test_a_server_that_stands_still_costs_no_answer_more_than_its_budget(
    own_server: Server, made: Made, tmp_path: Path
) -> None:
    async with opened(Location(tmp_path, url=own_server.url("postgres"))) as ledger:
        await ledger.record(made.decision(0))
        await until_well(ledger)
        assert own_server.process is not None
        server = psutil.Process(own_server.process.pid)
        processes = [server, *server.children(recursive=True)]

        def send(number: signal.Signals) -> None:
            for process in processes:
                process.send_signal(number)

        send(signal.SIGSTOP)
        await eventually(lambda: all(process.status() == psutil.STATUS_STOPPED for process in processes))
        try:
            await require_spooled_and_taken_back(ledger, made, lambda: send(signal.SIGCONT))
        finally:
            send(signal.SIGCONT)


async def test_a_service_starts_without_its_server_and_records_when_that_comes(
    own_server: Server, made: Made, tmp_path: Path
) -> None:
    own_server.end()
    async with opened(Location(tmp_path, url=own_server.url("postgres"))) as ledger:
        await ledger.record(made.decision(0))
        await require_spooled_and_taken_back_from_the_start(ledger, made, own_server)


async def require_spooled_and_taken_back_from_the_start(ledger: SqlLedger, made: Made, server: Server) -> None:
    await ledger.record(made.decision(1))
    assert ledger.health().problem is not None
    assert ledger.health().spooled == 2
    server.start()
    await until_well(ledger)
    assert await names(ledger) == ["r-0", "r-1"]


# One decision that cannot be written


async def test_a_decision_that_cannot_be_written_fails_alone(location: Location, made: Made) -> None:
    with contextlib.closing(patient_ledger(location)) as ledger:
        poisoned = made.decision(2, labels=(object(),))  # a fault of ours: no text
        results = await asyncio.gather(
            *(ledger.record(each) for each in (made.decision(0), poisoned, made.decision(3))),
            return_exceptions=True,
        )
        assert [result is None for result in results] == [True, False, True]
        assert await names(ledger) == ["r-0", "r-3"]
        assert ledger.health().problem is None
