"""Decisions to record, and every ledger to record them in."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from benchmarks.postgres import Server, running_server, server_folder
from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.domain import (
    Decision,
    DecisionArchive,
    Examination,
    FrameFingerprint,
    Judged,
    Judgement,
    LabelScores,
    Ledger,
    ModelIdentity,
    Outcome,
    Verdict,
    ViewPlace,
)
from serve_app.domain.limits import MediaLimits
from serve_app.ledger import MemoryLedger, open_ledger
from serve_app.ledger.spool import Spool
from serve_app.ledger.sql import SqlLedger

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
MODEL = ModelIdentity("demo", "a" * 64, 224, "protects nobody", "b" * 64)
PICTURE, OTHER_PICTURE = "1" * 64, "2" * 64


class FullLedger(Ledger, DecisionArchive, Protocol):
    """Both ports, as every ledger has them."""


@dataclasses.dataclass(frozen=True)
class Made:
    """Decisions as the tests want them, each a second after the one before."""

    model: ModelIdentity = MODEL
    picture: str = PICTURE
    other_picture: str = OTHER_PICTURE
    noon: datetime = NOON
    labels: tuple[str, ...] = ("a red view", "größer", "a green view")

    def judged(self, verdict: Verdict = Verdict.ACCEPT, *, is_truncated: bool = False) -> Judged:
        rule = None if verdict is Verdict.ACCEPT else f"rule-{verdict}"
        judgement = Judgement(verdict, rule, "größer", view=1, scores={"red": 0.25, "round": -0.5}, margin=0.125)
        return Judged(judgement, ViewPlace(3, (0.0, 0.25, 0.5, 1.0)), "image/gif", 2, 2, 90, is_truncated)

    def examination(self, *, is_truncated: bool = False, labels: int = 3, worker: str | None = None) -> Examination:
        cosines = np.linspace(-1, 1, 2 * labels, dtype=np.float32).reshape(2, labels)
        fingerprints = tuple(FrameFingerprint(frame, 80 + frame, bytes(range(frame, 256 + frame))) for frame in (0,))
        return Examination(
            LabelScores(cosines, 100.0, self.model, worker),
            (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)), ViewPlace(3, (0.0, 0.25, 0.5, 1.0))),
            "image/gif",
            2,
            90,
            is_truncated,
            fingerprints,
            preprocess_ms=7.5,
            score_ms=2.5,
        )

    def decision(self, number: int, outcome: Outcome | None = None, **changed: Any) -> Decision:
        """The decision ``r-{number}``, ``number`` seconds after noon; judged and accepted unless told otherwise."""
        outcome = outcome or self.judged()
        decision = Decision(
            request_id=f"r-{number}",
            decided_at=NOON + timedelta(seconds=number),
            sha256=PICTURE,
            body_bytes=1234,
            outcome=outcome,
            kept=True,
            model=MODEL,
            policy="demo",
            policy_digest="c" * 64,
            elapsed_ms=12.5,
        )
        if isinstance(outcome, Judged):
            seen = self.examination(is_truncated=outcome.is_truncated)
            decision = dataclasses.replace(decision, examination=seen, labels=self.labels)
        return dataclasses.replace(decision, **changed)


def patient_ledger(location: Location, limits: MediaLimits | None = None) -> SqlLedger:
    """A ledger that waits for its database, however slow the machine is: what was recorded is there to be read."""
    ledger = open_ledger(location, limits, commit_wait_s=60.0)
    assert isinstance(ledger, SqlLedger)
    return ledger


@pytest.fixture
def made() -> Made:
    return Made()


NO_POSTGRESQL = "PostgreSQL is not installed (Debian: apt-get install postgresql)"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server that every test shares; a test that hurts it starts one of its own."""
    programs = server_folder()
    if programs is None:
        pytest.skip(NO_POSTGRESQL)
    with running_server(programs, is_durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with every table, to be copied."""
    file = tmp_path_factory.mktemp("template") / "ledger.db"
    database = open_database(Location(file.parent, file))
    database.prepare()
    database.close()
    return file


@pytest.fixture(scope="session")
def migrated_name(postgresql: Server) -> str:
    """The name of a database with every table, to be copied."""
    database = open_database(Location(Path("/nowhere"), url=postgresql.url("postgres")))
    database.prepare()
    database.close()
    return "postgres"


LEDGERS = ("memory", "sqlite", "postgresql")


@pytest.fixture(params=[kind for kind in LEDGERS if kind != "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """An empty database of every kind, with every table."""
    return fresh_location(request, request.param, tmp_path)


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FullLedger]:
    """An empty ledger of every kind; its clock stands at noon."""
    with opened_ledger(request, request.param, tmp_path) as ledger:
        yield ledger


@contextlib.contextmanager
def opened_ledger(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[FullLedger]:
    """An empty ledger of ``kind``; its clock stands at noon."""
    if kind == "memory":
        yield MemoryLedger(wall_clock=lambda: NOON)
        return
    location = fresh_location(request, kind, folder)
    spool = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
    sql = SqlLedger(open_database(location), spool, wall_clock=lambda: NOON, commit_wait_s=30.0)
    with contextlib.closing(sql):
        yield sql


def fresh_location(request: pytest.FixtureRequest, kind: str, folder: Path) -> Location:
    """A database of ``kind`` that no other test has."""
    if kind == "sqlite":
        file = folder / "ledger.db"
        shutil.copy(request.getfixturevalue("migrated_file"), file)
        return Location(folder, file)
    server: Server = request.getfixturevalue("postgresql")
    name = f"test_{uuid.uuid4().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {request.getfixturevalue('migrated_name')}", "template1")
    return Location(folder, url=server.url(name))
