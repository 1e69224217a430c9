"""Who tells what, and when: over a ledger in memory, or a database that several processes share."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from serve_app.domain import (
    AuditEntry,
    Decision,
    Judged,
    Judgement,
    LedgerHealth,
    ModelIdentity,
    NoticeKind,
    PendingDecisions,
    SettingsError,
    Tally,
    Verdict,
    ViewPlace,
)
from serve_app.domain.ports import WorkLease
from serve_app.domain.workers import WorkersHealth
from serve_app.ledger import MemoryLedger
from serve_app.notices import questions
from serve_app.notices.facts import DoubtedScores, SuspendedEntry
from serve_app.notices.reporter import LOOK_EVERY_S, Reporter
from serve_app.notices.told import NOTICE, Told
from serve_app.settings import parse_settings
from tests.unit.notices.conftest import WatchedSender
from tests.virtual_clock import VirtualClock

SECRET = "ntfys://hush-hush-hush@host/topic"
SILENT = "the scorer did not answer in time"
MODEL = ModelIdentity("demo", "a" * 64, 224)


class Leased:
    """A lease that one of several processes holds."""

    holder: Leased | None = None
    fault: Exception | None = None

    async def hold(self) -> bool:
        if Leased.fault is not None:
            raise Leased.fault
        if Leased.holder is None:
            Leased.holder = self
        return Leased.holder is self

    async def release(self) -> None:
        if Leased.holder is self:
            Leased.holder = None


@pytest.fixture(autouse=True)
def nobody_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Leased, "holder", None)
    monkeypatch.setattr(Leased, "fault", None)


class SharedLedger(MemoryLedger):
    """A ledger that several processes have, whose health a test sets. ``audit_fault`` keeps it from being written."""

    said = LedgerHealth()
    tally_fault: Exception | None = None
    pending_fault: Exception | None = None
    audited_fault: Exception | None = None
    audit_fault: Exception | None = None

    def lease(self, name: str) -> WorkLease:  # type: ignore[override]
        assert name == "notices"
        return Leased()

    def health(self) -> LedgerHealth:
        return self.said

    async def tally(self, since: datetime, until: datetime) -> Sequence[Tally]:
        if self.tally_fault is not None:
            raise self.tally_fault
        return await super().tally(since, until)

    async def pending_count(self) -> PendingDecisions:
        if self.pending_fault is not None:
            raise self.pending_fault.with_traceback(None)
        return await super().pending_count()

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        if self.audited_fault is not None:
            raise self.audited_fault
        return await super().audited(action, since)

    async def audit(self, entry: Any) -> None:
        if self.audit_fault is not None:
            raise self.audit_fault
        await super().audit(entry)


@dataclass
class Watched:
    problem: str | None = None
    entries: Sequence[SuspendedEntry] = ()
    purged: int = 0
    beyond: dict[str, int] = field(default_factory=dict)
    fault: Exception | None = None
    silent: frozenset[str] = frozenset()
    asked_since: list[datetime] = field(default_factory=list)
    health: WorkersHealth | None = None
    doubts: Sequence[DoubtedScores] = ()

    async def scanner_problem(self) -> str | None:
        await self.answer("scanner")
        if self.fault is not None:
            raise self.fault.with_traceback(None)
        return self.problem

    async def suspended(self) -> Sequence[SuspendedEntry]:
        await self.answer("suspended")
        return self.entries

    async def hunted(self) -> None:
        await self.answer("hunted")

    async def answer(self, question: str) -> None:
        if question in self.silent:
            await asyncio.Event().wait()

    def over_quota(self) -> dict[str, int]:
        return dict(self.beyond)

    async def workers(self) -> WorkersHealth | None:
        await self.answer("workers")
        return self.health

    async def doubts_since(self, since: datetime) -> Sequence[DoubtedScores]:
        await self.answer("doubts")
        return [each for each in self.doubts if each.at >= since]

    async def purged_since(self, since: datetime) -> int:
        self.asked_since.append(since)
        await self.answer("purged")
        return self.purged


class Process:
    """One that would tell, over what all share."""

    def __init__(self, shared: Shared) -> None:
        self.sender = WatchedSender(shared.clock)
        self.reporter = Reporter(
            parse_settings({"notices": shared.settings}),
            shared.ledger,
            shared.watched,
            self.sender,
            shared.urls,
            shared.clock,
            shared.clock.sleep,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        task = asyncio.create_task(self.reporter.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.reporter.release()


class Shared:
    """The clock, the ledger and the rest of the service."""

    def __init__(self) -> None:
        self.clock = VirtualClock(datetime(2026, 11, 26, 12, 0, 5, tzinfo=UTC))
        self.ledger = SharedLedger(wall_clock=self.clock)
        self.watched = Watched()
        self.settings: dict[str, Any] = {}
        self.addresses = 1
        self.addresses_fault: SettingsError | None = None

    def urls(self) -> list[str]:
        if self.addresses_fault is not None:
            raise self.addresses_fault
        return [SECRET] * self.addresses

    async def wait(self, processes: int = 1, **duration: float) -> None:
        """Some looks, and what each of them has begun."""
        for _ in range(int(timedelta(**duration).total_seconds() / LOOK_EVERY_S)):
            await self.clock.advance(LOOK_EVERY_S, processes)
            for _ in range(10):
                await asyncio.sleep(0)

    async def reject(self, number: int, source: str = "lemmy") -> None:
        for each in range(number):
            judged = Judged(
                Judgement(Verdict.REJECT, "no-red", "It is red.", 0, {}, 0.1),
                ViewPlace(0, (0.0, 0.0, 1.0, 1.0)),
                *("image/png", 1, 1, 1),
            )
            decision = Decision(
                f"{self.clock.now.isoformat()}-{source}-{each}",
                self.clock.now,
                *("1" * 64, 1234, judged, False, MODEL, "demo", "c" * 64, 12.5, source),
            )
            await self.ledger.record(decision)

    async def audit(self) -> list[dict[str, Any]]:
        return [dict(each.detail) for each in await self.ledger.audited(NOTICE, self.clock.now - timedelta(days=9))]


@pytest.fixture
def shared() -> Shared:
    return Shared()


async def test_rejections_are_told_by_the_hour_in_words_without_hashes(shared: Shared) -> None:
    async with Process(shared).running() as process:
        await shared.reject(3)
        await shared.wait(minutes=70)
        assert process.sender.titles() == ["3 pictures were rejected"]
        (_, job), *_ = process.sender.taken
        assert "3 by the rule no-red" in job.message.body
        assert "1" * 64 not in job.message.body
        await shared.wait(hours=5)
        assert len(process.sender.taken) == 1, "nothing has happened since"
    assert await shared.audit() == [{"counted to": "2026-11-26T13:00:00+00:00"}]


async def test_one_message_has_what_happened_meanwhile(shared: Shared) -> None:
    shared.watched.problem = SILENT
    async with Process(shared).running() as process:
        await shared.wait(minutes=5)
        shared.watched.entries = [SuspendedEntry(17, "community", shared.clock.now)]
        shared.watched.purged = 100
        await shared.wait(minutes=10)
        assert process.sender.titles() == ["no picture can be scanned"]
        await shared.wait(minutes=10)
        assert process.sender.titles()[1:] == ["1 list entry is suspended, and 1 more"]
        shared.watched.problem = None
        await shared.wait(minutes=20)
        assert process.sender.titles()[2:] == ["pictures are scanned again"]
    assert shared.watched.asked_since[0] == datetime(2026, 11, 26, tzinfo=UTC)


async def test_no_message_comes_sooner_than_it_may_whatever_happens(shared: Shared) -> None:
    shared.settings = {"at_most_every_s": 3600, "unreachable_after_s": 0}
    async with Process(shared).running() as process:
        for minute in range(600):
            shared.watched.problem = SILENT if minute % 17 < 8 else None
            shared.watched.entries = [SuspendedEntry(minute, "community", shared.clock.now)]
            await shared.reject(1)
            await shared.wait(minutes=1)
    times = [at for at, _ in process.sender.taken]
    assert 9 <= len(times) <= 11
    assert all((later - earlier).total_seconds() >= 3600 for earlier, later in itertools.pairwise(times))


async def test_of_several_processes_one_tells_and_another_goes_on_where_it_ended(shared: Shared) -> None:
    shared.watched.problem = SILENT
    async with Process(shared).running() as first, Process(shared).running() as second:
        await shared.reject(2)
        await shared.wait(2, minutes=70)
        told, silent = (first, second) if first.sender.taken else (second, first)
        assert told.sender.titles() == ["no picture can be scanned", "2 pictures were rejected"]
        assert silent.sender.attempts == 0
    async with Process(shared).running() as third:
        await shared.wait(minutes=30)
        assert third.sender.titles() == []
        shared.watched.problem = None
        await shared.reject(4)
        await shared.wait(minutes=60)
        assert third.sender.titles() == ["pictures are scanned again", "4 pictures were rejected"]


async def test_what_nobody_got_is_told_by_the_next_process(shared: Shared) -> None:
    await shared.reject(5)
    async with Process(shared).running() as first:
        first.sender.problems = {1: "connection refused"}
        await shared.wait(minutes=90)
        assert first.sender.attempts > 2
    assert await shared.audit() == []
    async with Process(shared).running() as second:
        await shared.wait(minutes=1)
        assert second.sender.titles() == ["5 pictures were rejected"]


async def test_one_address_that_takes_it_suffices_to_have_told(shared: Shared) -> None:
    shared.addresses = 2
    await shared.reject(5)
    async with Process(shared).running() as process:
        process.sender.problems = {1: "connection refused"}
        await shared.wait(minutes=62)
        assert len(await shared.audit()) == 1
        process.sender.problems = {}
        await shared.wait(minutes=5)
        assert process.sender.titles(1) == process.sender.titles(2) == ["5 pictures were rejected"]
    assert len(await shared.audit()) == 1


async def test_a_sender_that_hangs_holds_no_look_up_and_ends_with_the_process(shared: Shared) -> None:
    await shared.reject(5)
    async with Process(shared).running() as process:
        process.sender.silent = {1}
        await shared.wait(hours=2)
        assert process.sender.attempts == 1
        assert len(shared.watched.asked_since) > 600


async def test_a_process_that_ends_while_it_sends_records_what_an_address_has_taken(shared: Shared) -> None:
    shared.addresses = 2
    await shared.reject(5)
    async with Process(shared).running() as first:
        first.sender.silent = {1}
        await shared.wait(minutes=70)
        assert first.sender.titles(2) == ["5 pictures were rejected"]
        assert await shared.audit() == [], "it is sent to the other one still"
    assert await shared.audit() == [{"counted to": "2026-11-26T13:00:00+00:00"}]
    async with Process(shared).running() as second:
        await shared.wait(minutes=70)
    assert second.sender.taken == []


async def test_without_a_database_it_is_told_that_decisions_are_not_recorded(shared: Shared) -> None:
    async with Process(shared).running() as process:
        await shared.wait(minutes=1)
        Leased.fault = ConnectionError("gone: a secret")
        shared.ledger.audit_fault = ConnectionError("gone")
        shared.ledger.said = LedgerHealth("cannot be written", 12)
        await shared.wait(minutes=60)
        assert process.sender.titles() == ["decisions are not recorded"]
        assert "the ledger cannot be written." in process.sender.taken[0][1].message.body
        Leased.fault = shared.ledger.audit_fault = None
        shared.ledger.said = LedgerHealth()
        await shared.wait(minutes=20)
        assert process.sender.titles()[1:] == ["decisions are recorded again"]
    assert [each["ledger"].partition(" ")[0] for each in await shared.audit()] == ["since", "over"]


async def test_whoever_never_reached_the_database_tells_it_too_and_then_what_it_says(shared: Shared) -> None:
    Leased.fault = ConnectionError("gone")
    await shared.reject(2)
    async with Process(shared).running() as process:
        await shared.wait(minutes=5)
        assert process.sender.titles() == ["decisions are not recorded"]
        assert "the ledger does not answer." in process.sender.taken[0][1].message.body
        Leased.fault = None
        await shared.wait(minutes=90)
        assert process.sender.titles()[1:] == ["decisions are recorded again", "2 pictures were rejected"]


async def test_what_was_told_without_the_database_is_recorded_before_the_audit_is_read(shared: Shared) -> None:
    await shared.ledger.audit(Told(shared.clock.now, None, {NoticeKind.PURGE_QUOTA: shared.clock.now}).entry())
    shared.watched.purged = 100
    Leased.fault = shared.ledger.audit_fault = ConnectionError("gone")
    async with Process(shared).running() as process:
        await shared.wait(minutes=5)
        Leased.fault = None
        await shared.wait(minutes=60)
        assert process.sender.titles() == ["decisions are not recorded"]
        shared.ledger.audit_fault = None
        await shared.wait(minutes=20)
        assert process.sender.titles()[1:] == ["decisions are recorded again"]


async def test_pictures_beyond_a_quota_are_counted_since_they_were_told_last(shared: Shared) -> None:
    shared.watched.beyond = {"kbin": 1000}
    async with Process(shared).running() as process:
        await shared.wait(minutes=5)
        assert process.sender.titles() == [], "they were before"
        for _ in range(80):
            shared.watched.beyond["kbin"] += 1
            await shared.wait(minutes=1)
        (first,) = (job.message.body for _, job in process.sender.taken)
        assert "- 2 of kbin" in first
        await shared.wait(minutes=10)
        for _ in range(2):
            shared.watched.beyond["kbin"] += 1
            await shared.wait(minutes=2)
        _, second = (job.message.body for _, job in process.sender.taken)
        assert "- 80 of kbin" in second


async def test_a_fault_is_logged_once_and_nothing_ends(shared: Shared, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shared.watched.fault = ValueError(f"with {SECRET} in it")
    async with Process(shared).running() as process:
        await shared.wait(minutes=5)
        shared.watched.fault, shared.watched.problem = None, SILENT
        await shared.wait(minutes=5)
        assert process.sender.titles() == ["no picture can be scanned"]
    (line,) = [each.message for each in caplog.records]
    assert line.startswith(
        "the question of the notice scanner was not answered, and is asked again: a fault of this program at "
    )
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    ("silent", "titles"),
    [
        ("scanner", {"1 list entry is suspended, and 1 more"}),
        ("suspended", {"the day's quota of purges is reached", "no picture can be scanned"}),
        ("purged", {"1 list entry is suspended", "no picture can be scanned"}),
    ],
)
async def test_a_question_that_is_not_answered_silences_its_own_notice_alone(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, silent: str, titles: set[str]
) -> None:
    monkeypatch.setattr(questions, "ANSWER_WITHIN_S", 0.0)
    shared.watched = Watched(SILENT, [SuspendedEntry(17, "community", shared.clock.now)], 100)
    shared.watched.silent = frozenset({silent})
    shared.ledger.pending_fault = ConnectionError("gone")
    async with Process(shared).running() as process:
        await shared.wait(minutes=20)
        assert set(process.sender.titles()) == titles
    lines = [each.message for each in caplog.records]
    assert len(lines) == 2, "a line for each question"
    assert all("was not answered, and is asked again: " in each for each in lines)


async def test_an_incident_is_not_over_because_nobody_knows(shared: Shared) -> None:
    shared.watched.problem = SILENT
    async with Process(shared).running() as process:
        await shared.wait(minutes=5)
        shared.watched.fault = ConnectionError("gone")
        await shared.wait(hours=2)
        assert process.sender.titles() == ["no picture can be scanned"]
        shared.watched.fault, shared.watched.problem = None, None
        await shared.wait(minutes=10)
        assert process.sender.titles()[1:] == ["pictures are scanned again"]


async def test_an_audit_that_cannot_be_written_holds_no_notice_up(
    shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    shared.ledger.audit_fault = ConnectionError("gone")
    shared.watched.problem = SILENT
    async with Process(shared).running() as process:
        await shared.wait(minutes=5)
        shared.watched.problem = None
        await shared.wait(minutes=20)
        assert process.sender.titles() == ["no picture can be scanned", "pictures are scanned again"]
        shared.ledger.audit_fault = None
        await shared.wait(minutes=1)
    assert [each["scanner"].partition(" ")[0] for each in await shared.audit()] == ["since", "over"]
    (line,) = [each.message for each in caplog.records]
    assert line.startswith("what was told could not be recorded in the audit, and is tried again: ")


async def test_an_audit_that_cannot_be_read_is_told_as_a_database_that_does_not_answer(shared: Shared) -> None:
    shared.ledger.audited_fault = ConnectionError("gone")
    shared.watched.problem = SILENT
    async with Process(shared).running() as process:
        await shared.wait(minutes=5)
        assert process.sender.titles() == ["decisions are not recorded"]
        shared.ledger.audited_fault = None
        await shared.wait(minutes=20)
        assert process.sender.titles()[1:] == ["no picture can be scanned, and 1 more"]


async def test_an_hour_that_cannot_be_counted_is_counted_with_the_next_and_holds_nothing_up(
    shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    await shared.reject(2)
    shared.ledger.tally_fault = TimeoutError("slow")
    async with Process(shared).running() as process:
        await shared.wait(minutes=70)
        slow = [each for each in caplog.records if "could not be counted: no answer in time" in each.message]
        assert len(slow) == 3, "the hours to 11, 12 and 13"
        shared.watched.purged = 100
        await shared.wait(minutes=1)
        assert process.sender.titles() == ["the day's quota of purges is reached"]
        shared.ledger.tally_fault = None
        await shared.wait(minutes=60)
        assert process.sender.titles()[1:] == ["2 pictures were rejected"]


async def test_addresses_that_cannot_be_read_for_a_while_lose_no_notice(
    shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    await shared.reject(5)
    shared.watched.problem = SILENT
    async with Process(shared).running() as process:
        shared.addresses_fault = SettingsError("the file cannot be read")
        await shared.wait(minutes=70)
        (line,) = [each.message for each in caplog.records]
        assert line == "notices could not be told, and are tried again: the file cannot be read"
        shared.watched.beyond["kbin"] = 7
        await shared.wait(minutes=1)
        shared.addresses_fault = None
        await shared.wait(minutes=1)
        assert process.sender.titles() == ["no picture can be scanned, and 1 more"]
    assert await shared.audit() == [
        {"counted to": "2026-11-26T13:00:00+00:00", "scanner": "since 2026-11-26T12:00:05+00:00"}
    ]


@pytest.mark.parametrize(("taken_back_after", "told_at"), [(3, "13:03:15"), (None, "13:15:05")])
async def test_an_hour_is_counted_once_its_decisions_are_taken_back_from_the_spool(
    shared: Shared, taken_back_after: int | None, told_at: str
) -> None:
    shared.settings = {"kinds": [NoticeKind.REJECTED.value]}
    await shared.reject(2)
    async with Process(shared).running() as process:
        await shared.wait(minutes=58)
        shared.ledger.said = LedgerHealth(None, 3)
        await shared.wait(minutes=2)
        if taken_back_after is not None:
            await shared.wait(minutes=taken_back_after)
            shared.ledger.said = LedgerHealth()
        await shared.wait(minutes=30)
        ((at, job),) = process.sender.taken
        assert f"{at:%H:%M:%S}" == told_at
        assert job.message.title == "Pictwarden: 2 pictures were rejected"


async def test_that_no_worker_is_there_is_one_notice_and_that_they_score_again_another(shared: Shared) -> None:
    shared.watched.problem = "no worker is connected"
    shared.watched.health = WorkersHealth(0, shared.clock.now)
    async with Process(shared).running() as process:
        await shared.wait(minutes=30)
        assert process.sender.titles() == ["no worker is connected"], "and not that no picture can be scanned"
        shared.watched.problem, shared.watched.health = None, WorkersHealth(1)
        await shared.wait(minutes=30)
        assert process.sender.titles()[1:] == ["workers score again"]
    assert [each["workers"].partition(" ")[0] for each in await shared.audit()] == ["since", "over"]


async def test_doubts_about_workers_are_told_once_by_whichever_process(shared: Shared) -> None:
    since = shared.clock.now - timedelta(minutes=7)
    shared.watched.doubts = [DoubtedScores(shared.clock.now, since, "another score", {"anna/desktop": 12})]
    for told in (["scores of a worker are in doubt"], []):
        async with Process(shared).running() as process:
            await shared.wait(hours=13)
        assert process.sender.titles() == told


async def test_only_the_kinds_that_are_wanted_are_told(shared: Shared) -> None:
    shared.settings = {"kinds": [NoticeKind.PURGE_QUOTA.value]}
    shared.watched.problem, shared.watched.purged = SILENT, 100
    await shared.reject(9)
    async with Process(shared).running() as process:
        await shared.wait(hours=2)
        Leased.fault = ConnectionError("gone")
        await shared.wait(hours=1)
    assert process.sender.titles() == ["the day's quota of purges is reached"]


async def test_that_the_service_ends_by_itself_is_told_and_that_it_scans_again(shared: Shared) -> None:
    async with Process(shared).running() as first:
        await shared.wait(minutes=1)
    await first.reporter.tell_end("batching has ended")
    assert first.sender.titles() == ["no picture can be scanned"]
    assert "the service has ended: batching has ended." in first.sender.taken[0][1].message.body
    await first.reporter.release()
    for _ in range(3):  # it is started again, and does not get far
        again = Process(shared)
        await again.reporter.tell_end("there is no model at /models/csam")
        assert again.sender.attempts == 0, "it is told"
        await again.reporter.release()
    async with Process(shared).running() as last:
        await shared.wait(minutes=30)
        assert last.sender.titles() == ["pictures are scanned again"]


async def test_a_clock_that_was_ahead_silences_nobody_after_a_restart(shared: Shared) -> None:
    future = shared.clock.now + timedelta(days=30)
    await shared.ledger.audit(Told(future, future, {NoticeKind.SCANNER: future}).entry())
    shared.watched.purged = 100
    await shared.reject(3)
    async with Process(shared).running() as process:
        await shared.wait(minutes=16)
        assert process.sender.titles() == ["the day's quota of purges is reached, and 1 more"]
        assert "Pictures are scanned again" in process.sender.taken[0][1].message.body
        await shared.wait(minutes=60)
        assert process.sender.titles()[1:] == ["3 pictures were rejected"]


async def test_a_clock_that_is_set_back_silences_nobody(shared: Shared) -> None:
    shared.addresses = 2
    now = shared.clock.now
    shared.clock.now += timedelta(days=30)
    shared.watched.problem = SILENT
    async with Process(shared).running() as process:
        process.sender.problems = {2: "connection refused"}
        await shared.wait(minutes=10)
        assert process.sender.titles() == ["no picture can be scanned"]
        shared.clock.set_back(now)
        process.sender.problems = {}
        await shared.reject(3)
        await shared.wait(minutes=80)
        assert process.sender.titles()[1:] == ["3 pictures were rejected"]
        assert process.sender.titles(2) == ["no picture can be scanned", "3 pictures were rejected"]
        await shared.wait(days=1)
        assert process.sender.titles()[2:] == ["still no picture can be scanned"]


async def test_an_end_is_told_however_soon_after_other_messages(shared: Shared) -> None:
    shared.addresses = 2
    shared.watched.problem = SILENT
    async with Process(shared).running() as process:
        process.sender.problems = {2: "connection refused"}
        await shared.wait(minutes=3)
        shared.watched.problem = None
        await shared.wait(minutes=25)
        shared.watched.purged = 100
        await shared.wait(minutes=1)
        assert process.sender.titles(1) == ["no picture can be scanned", "pictures are scanned again"]
        process.sender.problems = {}
    await process.reporter.tell_end("batching has ended")
    assert process.sender.titles(1)[2:] == ["no picture can be scanned"]
    assert process.sender.titles(2) == ["no picture can be scanned, and 2 more"]


async def test_an_end_that_cannot_be_told_holds_nobody_up(shared: Shared) -> None:
    process = Process(shared)
    process.sender.problems = {1: "connection refused"}
    await process.reporter.tell_end("batching has ended")
    assert process.sender.attempts == 1
    assert await shared.audit() == []
    Leased.fault = ConnectionError("gone")
    await Process(shared).reporter.tell_end("batching has ended")
    shared.settings = {"kinds": []}
    await Process(shared).reporter.tell_end("batching has ended")
