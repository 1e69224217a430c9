"""Doubts about workers are logged, and the ledger learns of them whatever becomes of the database meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import AuditEntry
from serve_app.domain.workers import DISTRUST, TRUST, Doubt, doubts_in
from serve_app.ledger import MemoryLedger
from serve_app.remote.trust import TrustRecord
from serve_app.remote.trust.reports import Disagreed, Distrusted, PassedProbe, Suspended

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
SINCE = NOON - timedelta(minutes=7)


def passed(worker: str, at: datetime) -> Callable[[TrustRecord], None]:
    report = PassedProbe(worker, worker.partition("/")[0], at, "the service's own model", 0.05, ends_trial=True)
    return lambda record: record.passed(report)


class Audit:
    """A ledger that cannot be written for a while, and wakes whoever waits."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.faults = 0
        self.has_all = asyncio.Event()
        self.wanted = 0
        self.slept: list[float] = []
        self.fails_at = -1
        self.forgotten: list[Doubt] = []

    async def audit(self, entry: AuditEntry) -> None:
        self.fail()
        await self.ledger.audit(entry)
        self.count()

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        self.fail()
        return await self.ledger.audited(action, since)

    async def forget_scores(self, doubt: Doubt) -> None:
        self.fail()
        self.forgotten.append(doubt)
        self.count()

    def fail(self) -> None:
        if self.faults:
            self.faults -= 1
            raise ConnectionError("gone")

    def count(self) -> None:
        self.wanted -= 1
        if self.wanted == self.fails_at:
            self.faults = 1
        if not self.wanted:
            self.has_all.set()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def doubts(self) -> list[Doubt]:
        return doubts_in(await self.ledger.audited(DISTRUST, NOON - timedelta(days=1)))


async def test_whoever_scores_wrongly_or_contradicts_another_one_is_in_the_log_and_the_audit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    audit = Audit()
    audit.wanted, audit.faults, audit.fails_at = 5, 2, 4
    record = TrustRecord(audit, audit.sleep)
    record.distrusted(Distrusted("anna/desktop", "anna", NOON, SINCE, "0.3 apart"))
    record.disagreed(Disagreed(("anna/desktop", "ben/card"), NOON, SINCE, "r-1", True, "0.4 apart", True))
    record.distrusted(Distrusted("carl/card", "carl", NOON, None, "0.5 apart"))
    await audit.has_all.wait()
    await record.close()
    wrong = Doubt(("anna/desktop",), NOON, SINCE, "0.3 apart")
    contradiction = Doubt(("anna/desktop", "ben/card"), NOON, SINCE, "0.4 apart", has_decoded=True)
    assert await audit.doubts() == [wrong, contradiction, Doubt(("carl/card",), NOON, None, "0.5 apart")]
    assert record.dropped_workers == {"wrong": 2, "disagreement": 1, "suspended": 0}
    assert audit.slept == [10.0, 10.0, 10.0]
    assert audit.forgotten == [wrong, contradiction], "of who never had a picture there is nothing to forget"
    *reported, unrecorded = (each.getMessage() for each in caplog.records)
    assert reported == [
        "the worker anna/desktop scored wrongly and was dropped: 0.3 apart; its decisions since "
        "2026-11-26T11:53:00+00:00 are in doubt",
        "request r-1: 0.4 apart",
        "the worker carl/card scored wrongly and was dropped: 0.5 apart",
    ]
    assert unrecorded.startswith("the ledger does not know yet which workers are trusted or in doubt, and is tried")


async def test_one_that_begins_to_be_trusted_or_is_dropped_for_a_while_has_a_line_and_no_doubt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    audit = Audit()
    record = TrustRecord(audit, audit.sleep)
    for ends_trial in (True, False):
        record.passed(PassedProbe("anna/desktop", "anna", NOON, "the service's own model", 0.05, ends_trial))
    record.suspended(Suspended("anna/desktop", "anna", NOON, 60.0, "30 late"))
    await record.close()
    assert [each.getMessage() for each in caplog.records] == [
        "the worker anna/desktop is trusted: it has passed its trial, against the service's own model",
        "the worker anna/desktop was dropped for 60 s: 30 late",
    ]
    assert await audit.doubts() == []
    assert record.dropped_workers["suspended"] == 1


async def test_what_was_scored_before_the_front_was_restarted_is_in_doubt_too(caplog: pytest.LogCaptureFixture) -> None:
    audit = Audit()

    async def of_one_run(does: Callable[[TrustRecord], None], writes: int) -> None:
        audit.has_all.clear()
        audit.wanted, audit.faults = writes, 2
        record = TrustRecord(audit, audit.sleep, sends_bodies=True)
        does(record)
        await audit.has_all.wait()
        await record.close()

    def wrong(worker: str, at: datetime) -> Callable[[TrustRecord], None]:
        return lambda record: record.distrusted(Distrusted(worker, "anna", at, None, "0.3 apart"))

    def contradiction(
        at: datetime, since: datetime | None, never_good: tuple[str, ...]
    ) -> Callable[[TrustRecord], None]:
        workers = ("anna/laptop", "ben/card")
        report = Disagreed(workers, at, since, "r-1", False, "0.4 apart", never_good=never_good)
        return lambda record: record.disagreed(report)

    for at in (SINCE - timedelta(days=1), SINCE):
        await of_one_run(passed("anna/desktop", at), writes=1)
    await of_one_run(wrong("anna/laptop", NOON), writes=1)
    await of_one_run(wrong("anna/desktop", NOON), writes=2)
    await of_one_run(wrong("anna/desktop", NOON + timedelta(hours=1)), writes=1)
    reaching = Doubt(("anna/desktop",), NOON, SINCE, "0.3 apart", has_decoded=True)
    assert audit.forgotten == [reaching], "what it had decoded is in doubt too"
    assert [each.since for each in await audit.doubts()] == [None, SINCE, None]
    told = [each.getMessage() for each in caplog.records if "earlier run" in each.getMessage()]
    assert told == ["decisions of anna/desktop since 2026-11-26T11:53:00+00:00, of an earlier run, are in doubt too"]
    # Of two that contradict each other one was trusted by an earlier run alone, and goes on after it.
    await of_one_run(passed("ben/card", SINCE), writes=1)
    for at in (NOON, NOON + timedelta(minutes=5)):
        await of_one_run(contradiction(at, NOON - timedelta(minutes=1), ("ben/card",)), writes=2)
    contradictions = [each for each in await audit.doubts() if "ben/card" in each.workers]
    assert [each.since for each in contradictions] == [SINCE, SINCE]


async def test_a_worker_that_passes_a_trial_every_few_minutes_fills_no_audit() -> None:
    audit = Audit()
    record = TrustRecord(audit, audit.sleep)

    async def passes_fifty() -> None:
        audit.has_all.clear()
        audit.wanted = 1
        for minute in range(50):
            passed("anna/desktop", SINCE + timedelta(minutes=minute))(record)
        await audit.has_all.wait()

    await passes_fifty()
    audit.has_all.clear()
    audit.wanted = 2
    record.distrusted(Distrusted("anna/desktop", "anna", NOON, SINCE, "0.3 apart"))
    await audit.has_all.wait()
    await passes_fifty()
    await record.close()
    assert len(await audit.ledger.audited(TRUST, SINCE)) == 2


async def test_a_record_ends_while_the_audit_cannot_be_written() -> None:
    audit = Audit()
    audit.faults = 1_000_000
    record = TrustRecord(audit, audit.sleep)
    record.distrusted(Distrusted("anna/desktop", "anna", NOON, SINCE, "0.3 apart"))
    await asyncio.sleep(0)
    await record.close()
    assert await audit.doubts() == []


@given(
    workers=st.lists(st.text(min_size=1), min_size=1, max_size=2).map(tuple),
    since=st.none() | st.datetimes(timezones=st.just(UTC)),
    why=st.text(),
    has_decoded=st.booleans(),
)
def test_every_doubt_comes_back_from_its_entry(
    workers: tuple[str, ...], since: datetime | None, why: str, *, has_decoded: bool
) -> None:
    doubt = Doubt(workers, NOON, since, why, has_decoded)
    assert doubts_in([doubt.entry()]) == [doubt]
