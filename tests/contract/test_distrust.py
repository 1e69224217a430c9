"""Scores in doubt are neither recalled nor recorded, wherever they lay when the audit learnt of it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from serve_app.database.access import Database, open_database
from serve_app.domain import Decision, Verdict
from serve_app.domain.limits import MediaLimits
from serve_app.domain.workers import Doubt
from serve_app.ledger.entries import Entry
from serve_app.ledger.spool import Spool
from tests.contract.conftest import patient_ledger

if TYPE_CHECKING:
    from serve_app.database.location import Location
    from serve_app.ledger.sql import SqlLedger
    from tests.contract.conftest import FullLedger, Made

LIAR = "anna/desktop"


def scored(made: Made, number: int, worker: str | None = LIAR, sha256: str | None = None) -> Decision:
    """The decision ``number`` seconds after noon on a picture of its own, unless that is told."""
    sha256 = sha256 or f"{number:064x}"
    return made.decision(number, sha256=sha256, worker=worker, examination=made.examination(worker=worker))


def doubt_of(made: Made, since: int, at: int, *workers: str) -> Doubt:
    """In seconds after noon."""
    moments = made.noon + timedelta(seconds=at), made.noon + timedelta(seconds=since)
    return Doubt(workers or (LIAR,), *moments, "0.3 apart")


async def distrust(ledger: FullLedger, doubt: Doubt) -> None:
    await ledger.audit(doubt.entry())
    await ledger.forget_scores(doubt)


async def known(ledger: FullLedger, made: Made, *decisions: Decision) -> list[bool]:
    return [await ledger.recall(each.sha256, made.model.digest) is not None for each in decisions]


async def test_the_word_of_the_audit_is_enough_to_recall_nothing_in_doubt(ledger: FullLedger, made: Made) -> None:
    """Whoever was to erase the scores may have died in between."""
    before, lie, of_other, of_service = (
        scored(made, 1),
        scored(made, 10),
        scored(made, 11, "ben/card"),
        scored(made, 12, None),
    )
    for each in (before, lie, of_other, of_service):
        await ledger.record(each)
    await ledger.audit(doubt_of(made, 5, 20).entry())
    assert await known(ledger, made, before, lie, of_other, of_service) == [True, False, True, True]


async def test_what_is_recorded_late_is_not_recalled_and_its_decision_stays(ledger: FullLedger, made: Made) -> None:
    await distrust(ledger, doubt_of(made, 5, 20, LIAR, "ben/card"))
    before, in_doubt, on_its_way = scored(made, 4), scored(made, 10, "ben/card"), scored(made, 79)
    for each in (before, in_doubt, on_its_way):
        await ledger.record(each)
    assert await known(ledger, made, before, in_doubt, on_its_way) == [True, False, False]
    found = await ledger.get("r-79")
    assert found is not None
    assert (found.decision.worker, found.decision.examination) == (LIAR, None)


async def test_what_is_scored_once_the_worker_is_trusted_again_is_kept(ledger: FullLedger, made: Made) -> None:
    lie, honest = scored(made, 10), scored(made, 81)
    await ledger.record(lie)
    await ledger.record(honest)
    doubt = doubt_of(made, 5, 20)
    for _ in range(2):  # as one whose first try was cut off, and was late
        await distrust(ledger, doubt)
    anew = scored(made, 90, sha256=lie.sha256)
    await ledger.record(anew)
    assert await known(ledger, made, lie, honest) == [True, True]
    await distrust(ledger, doubt_of(made, 85, 95))
    assert await known(ledger, made, lie, honest) == [False, True]


async def test_a_late_lie_spoils_neither_honest_scores_nor_their_judgement(ledger: FullLedger, made: Made) -> None:
    honest = scored(made, 10, None)
    await ledger.record(honest)
    await distrust(ledger, doubt_of(made, 5, 20))
    lie = dataclasses.replace(scored(made, 15, sha256=honest.sha256), outcome=made.judged(Verdict.REJECT))
    await ledger.record(lie)
    recalled = await ledger.recall(honest.sha256, made.model.digest)
    assert recalled is not None
    assert recalled.examination.scores.worker is None
    assert recalled.judged in (None, honest.outcome), "else it is judged anew"


async def fingerprints_of(ledger: FullLedger, *decisions: Decision) -> list[bool]:
    """Which of their bodies have fingerprints."""
    found = [await ledger.get(each.request_id) for each in decisions]
    return [each is not None and bool(each.fingerprints) for each in found]


async def test_fingerprints_of_whoever_decodes_go_with_its_scores(ledger: FullLedger, made: Made) -> None:
    before, lie, of_other, late = scored(made, 1), scored(made, 10), scored(made, 11, "ben/card"), scored(made, 12)
    for each in (before, lie, of_other):
        await ledger.record(each)
    await distrust(ledger, dataclasses.replace(doubt_of(made, 5, 20), has_decoded=True))
    await ledger.record(late)
    assert await fingerprints_of(ledger, before, lie, of_other, late) == [True, False, True, False]
    assert await known(ledger, made, before, lie, of_other, late) == [True, False, True, False]
    anew = scored(made, 90, None, sha256=lie.sha256)
    await ledger.record(anew)
    assert await fingerprints_of(ledger, lie) == [True]


async def test_nothing_is_recalled_of_a_body_without_its_fingerprints(location: Location, made: Made) -> None:
    """Those of an honest scan with another model were replaced by the lie."""
    seen = made.examination()
    model = dataclasses.replace(made.model, digest="d" * 64)
    seen = dataclasses.replace(seen, scores=dataclasses.replace(seen.scores, model=model))
    lie = scored(made, 10)
    honest = made.decision(1, sha256=lie.sha256, model=model, examination=seen)
    with contextlib.closing(patient_ledger(location)) as ledger:
        for each in (honest, lie):
            await ledger.record(each)
        assert await ledger.recall(honest.sha256, model.digest) is not None
        await distrust(ledger, dataclasses.replace(doubt_of(made, 5, 20), has_decoded=True))
        assert await ledger.recall(honest.sha256, model.digest) is None


async def test_fingerprints_that_the_front_made_stay(location: Location, made: Made) -> None:
    lie, late = scored(made, 10), scored(made, 11)
    with contextlib.closing(patient_ledger(location)) as ledger:
        await ledger.record(lie)
        await distrust(ledger, doubt_of(made, 5, 20))
        await ledger.record(late)
        assert await fingerprints_of(ledger, lie, late) == [True, True]
        assert await scores_in(ledger) == []


def spooled(location: Location, *decisions: Decision) -> Spool:
    """The spool of a process that has died."""
    spool = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
    spool.append([Entry.of(each, MediaLimits().media_key) for each in decisions])
    spool.close()
    return spool


async def scores_in(ledger: SqlLedger) -> list[tuple[str | None, int]]:
    """The worker of each recorded score, and the seconds of its moment."""
    select = text("SELECT worker, recorded_at_us FROM label_scores ORDER BY recorded_at_us")
    rows = await ledger._read(lambda connection: connection.execute(select).all())
    return [(row.worker, row.recorded_at_us // 1_000_000 % 60) for row in rows]


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 30.0
    while not is_so():
        assert time.monotonic() < give_up_s, "waited in vain"
        time.sleep(0.02)


async def test_what_lay_in_a_spool_loses_its_scores(location: Location, made: Made) -> None:
    lies = scored(made, 10), scored(made, 11)
    honest = scored(made, 4), scored(made, 12, "ben/card"), scored(made, 13, None)
    with contextlib.closing(patient_ledger(location)) as ledger:
        await distrust(ledger, doubt_of(made, 5, 20))
    spool = spooled(location, lies[0], *honest, lies[1])
    with contextlib.closing(patient_ledger(location)) as ledger:
        wait_until(lambda: not spool.file.exists())
        assert await known(ledger, made, *lies, *honest) == [False, False, True, True, True]
        assert await scores_in(ledger) == [(LIAR, 4), ("ben/card", 12), (None, 13)], "no hunt looks at the others"
        assert await ledger.get("r-10") is not None


async def test_another_process_learns_of_it_at_once(location: Location, made: Made) -> None:
    with contextlib.closing(patient_ledger(location)) as one, contextlib.closing(patient_ledger(location)) as other:
        early, late = scored(made, 10), scored(made, 11)
        await one.record(early)
        assert await known(other, made, early) == [True]
        await distrust(one, doubt_of(made, 5, 20))
        assert await known(other, made, early) == [False]
        await other.record(late)
        assert await known(one, made, late) == [False]
        assert await scores_in(one) == []


def test_whoever_forgets_waits_for_the_scores_of_those_that_have_not_heard(location: Location) -> None:
    """A transaction of another process may have read the audit before the doubt was there."""
    with contextlib.closing(open_database(location)) as database, ThreadPoolExecutor(1) as threads:
        if database.is_sqlite:
            pytest.skip("SQLite has one writer at a time")
        with database.writing() as connection:
            database.share_scores(connection)
            with database.writing() as beside:
                database.share_scores(beside)  # which waits for nobody
            waiting = threads.submit(database.wait_for_scores)
            wait_until(lambda: has_lock_that_waits(database))
            assert not waiting.done()
        waiting.result(timeout=30.0)


def has_lock_that_waits(database: Database) -> bool:
    found = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND NOT granted"
    with database.reading() as connection:
        return bool(connection.execute(text(found)).scalar_one())
