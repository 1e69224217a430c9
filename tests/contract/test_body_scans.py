"""Scans of every body hold no transaction open between their parts, in each database: a hunt may rest for hours."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from serve_app.database.access import Database, open_database
from serve_app.database.location import Location
from serve_app.database.tables import fingerprints
from serve_app.domain import UnavailableError
from serve_app.ledger import fingerprint_scan, score_scan
from serve_app.ledger.body_scans import BodyScans
from tests.contract.conftest import Made, patient_ledger


@pytest.fixture
async def database(location: Location, made: Made) -> AsyncIterator[Database]:
    """Seven bodies, and nobody else who reads or writes."""
    with contextlib.closing(patient_ledger(location)) as ledger:
        for number in range(7):
            await ledger.record(made.decision(number, sha256=f"{number}" * 64))
    with contextlib.closing(open_database(location)) as opened:
        yield opened


def is_free(database: Database) -> bool:
    """Whether nobody has a transaction open."""
    if database.is_sqlite:
        return database.empty_log()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    with database.reading() as connection:
        is_none: bool = connection.execute(text(waiting)).scalar_one() == 0
        return is_none


@pytest.mark.parametrize("of_scores", [False, True])
async def test_no_transaction_is_open_between_parts(
    database: Database, monkeypatch: pytest.MonkeyPatch, of_scores: bool
) -> None:
    monkeypatch.setattr(fingerprint_scan, "BODIES_AT_ONCE", 3)
    monkeypatch.setattr(score_scan, "BODIES_AT_ONCE", 3)
    bodies = BodyScans(database)
    found = []
    for part in bodies.all_scores(bodies.contexts().keys()) if of_scores else bodies.all_fingerprints():
        assert is_free(database)
        with database.writing() as connection:
            connection.execute(text("DELETE FROM audit"))
        assert is_free(database), "what was written meanwhile is out of the log"
        found.append([sha256.tobytes().hex()[0] for sha256 in part.sha256])
    assert found == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


async def test_a_part_of_fingerprints_ends_where_it_is_large(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint_scan, "BYTES_AT_ONCE", 2 * 261)
    assert [len(part.sha256) for part in BodyScans(database).all_fingerprints()] == [2, 2, 2, 1]


async def test_the_scores_of_a_body_by_several_models_all_come(
    location: Location, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_scan, "BODIES_AT_ONCE", 1)
    models = [made.model, replace(made.model, digest="e" * 64)]
    with contextlib.closing(patient_ledger(location)) as ledger:
        for number, model in enumerate(models * 2):
            decision = made.decision(number, model=model, sha256=f"{number // 2}" * 64)
            assert decision.examination is not None
            scores = replace(decision.examination.scores, model=model)
            await ledger.record(replace(decision, examination=replace(decision.examination, scores=scores)))
    with contextlib.closing(open_database(location)) as database:
        bodies = BodyScans(database)
        parts = list(bodies.all_scores(bodies.contexts().keys()))
    seen = sorted((part.sha256.tobytes().hex()[0], part.scores.model.digest[0]) for part in parts)
    assert seen == [("0", "a"), ("0", "e"), ("1", "a"), ("1", "e")]


async def test_a_part_of_scores_ends_where_it_is_large(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_scan, "BYTES_AT_ONCE", 1)
    bodies = BodyScans(database)
    assert [len(part.sha256) for part in bodies.all_scores(bodies.contexts().keys())] == [1] * 7


async def test_scores_of_other_contexts_are_left_out(database: Database) -> None:
    assert list(BodyScans(database).all_scores([])) == []


async def test_what_is_written_between_parts_hides_no_body(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint_scan, "BODIES_AT_ONCE", 2)
    found = []
    for part in BodyScans(database).all_fingerprints():
        found += [sha256.tobytes().hex()[0] for sha256 in part.sha256]
        with database.writing() as connection:
            # As a body that is examined again; and one that was seen already is forgotten.
            connection.execute(text("UPDATE fingerprints SET frames = frames"))
            connection.execute(fingerprints.delete().where(fingerprints.c.sha256 == bytes.fromhex(found[0] * 64)))
    assert found == ["0", "1", "2", "3", "4", "5", "6"]


async def test_a_scan_ends_where_the_rows_may_have_got_other_numbers(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL's rows are read by their key")
    monkeypatch.setattr(fingerprint_scan, "BODIES_AT_ONCE", 3)
    parts = BodyScans(database).all_fingerprints()
    next(parts)
    with contextlib.closing(sqlite3.connect(str(database.location.file))) as other:
        other.execute("VACUUM")
    with pytest.raises(UnavailableError, match="start again"):
        next(parts)
