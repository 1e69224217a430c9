"""What the service does on its own account: what its notices are made of, and when there are any."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from serve_app.composition.own_work import WatchedService, noticing
from serve_app.domain import (
    AuditEntry,
    Deadline,
    ModelIdentity,
    NotScannedError,
    PolicyError,
    UnavailableError,
    Unscanned,
    UnscannedReason,
)
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.domain.workers import Doubt, WorkersHealth
from serve_app.ledger import MemoryLedger
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.moderation import Moderator
from serve_app.notices.sending import AppriseProcess
from serve_app.purges import PURGE
from serve_app.settings import parse_settings
from tests.contract.conftest import Made
from tests.unit.connected_workers import ShownWorkers
from tests.unit.notices.conftest import WatchedSender
from tests.virtual_clock import VirtualClock

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
URL = "ntfys://hush-hush-hush@host/topic"


class Ready:
    """Of a moderator what is asked."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.over_quota = {"kbin": 3}

    async def ready(self, deadline: Deadline) -> ModelIdentity:
        if self.fault is not None:
            raise self.fault
        return ModelIdentity("demo", "a" * 64, 224)


class Parts:
    def __init__(self) -> None:
        self.moderator = Ready()
        self.ledger = MemoryLedger(wall_clock=lambda: NOON)
        self.lists = LiveLists(MemoryListStore())
        self.watched = WatchedService(cast(Moderator, self.moderator), self.ledger, self.lists, lambda: NOON)

    async def record(self, seconds_ago: float, reason: UnscannedReason | None, *, is_recalled: bool = False) -> None:
        outcome = Unscanned(reason, "why") if reason else None
        decision = Made().decision(0, outcome, kept=reason is None)
        if is_recalled and decision.examination is not None:
            seen = dataclasses.replace(decision.examination, is_recalled=True, preprocess_ms=0.0, score_ms=0.0)
            decision = dataclasses.replace(decision, examination=seen)
        at = NOON - timedelta(seconds=seconds_ago)
        await self.ledger.record(dataclasses.replace(decision, request_id=uuid.uuid4().hex, decided_at=at))


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.mark.parametrize("fault", [UnavailableError("the scorer is down"), PolicyError("it belongs to another model")])
async def test_a_model_that_is_not_warm_is_a_problem_in_its_own_words(
    parts: Parts, fault: NotScannedError | PolicyError
) -> None:
    assert await parts.watched.scanner_problem() is None
    parts.moderator.fault = fault
    assert await parts.watched.scanner_problem() == str(fault)


async def test_decoders_that_cannot_be_reached_are_seen_in_the_ledger(parts: Parts) -> None:
    await parts.record(90, UnscannedReason.UNAVAILABLE)
    await parts.record(30, UnscannedReason.OVERLOADED)
    assert await parts.watched.scanner_problem() is None
    await parts.record(20, UnscannedReason.UNAVAILABLE)
    problem = await parts.watched.scanner_problem()
    assert problem == "a model is warm, but pictures of the last minute were answered as unavailable: 1"
    await parts.record(15, None, is_recalled=True)
    assert await parts.watched.scanner_problem() == problem, "nothing was scanned for it"
    await parts.record(10, None)
    assert await parts.watched.scanner_problem() is None, "some of them are scanned"


async def test_suspended_entries_come_with_their_banks_and_times(parts: Parts) -> None:
    store = parts.lists.store
    fingerprints = [Fingerprint(FingerprintType.PDQ, bytes([number]) * 32, 100) for number in (1, 2)]
    drafts = [
        EntryDraft(kind=ListKind.DENY, fingerprint=each, bank="community", reason="a reason") for each in fingerprints
    ]
    first, _ = store.add(drafts).first_ids
    store.suspend([first])
    (suspended,) = await parts.watched.suspended()
    assert (suspended.entry, suspended.bank) == (first, "community")
    assert suspended.at.utcoffset() == timedelta(0)


async def test_doubted_workers_come_with_the_decisions_that_they_made_since_they_were_right(parts: Parts) -> None:
    workers = ShownWorkers(state=WorkersHealth(1))
    watched = WatchedService(cast(Moderator, parts.moderator), parts.ledger, parts.lists, lambda: NOON, workers)
    since = NOON - timedelta(minutes=10)
    for number, (name, minutes_ago) in enumerate(
        [("anna/desktop", 11), ("anna/desktop", 10), ("anna/desktop", 1), ("ben/card", 1), (None, 1)]
    ):
        at = NOON - timedelta(minutes=minutes_ago)
        await parts.ledger.record(dataclasses.replace(Made().decision(number), decided_at=at, worker=name))
    for doubt in (
        Doubt(("anna/desktop",), NOON - timedelta(minutes=2), since, "0.3 apart"),
        Doubt(("anna/desktop", "ben/card"), NOON - timedelta(minutes=1), since, "0.4 apart"),
        Doubt(("carl/card",), NOON, None, "0.5 apart"),
    ):
        await parts.ledger.audit(doubt.entry())
    found = await watched.doubts_since(NOON - timedelta(days=1))
    assert [dict(each.decisions) for each in found] == [
        {"anna/desktop": 2},
        {"anna/desktop": 2, "ben/card": 1},
        {"carl/card": 0},
    ]
    assert (found[1].at, found[1].since, found[1].why) == (NOON - timedelta(minutes=1), since, "0.4 apart")
    assert len(await watched.doubts_since(NOON)) == 1
    assert await watched.workers() == WorkersHealth(1)


async def test_a_service_without_workers_has_no_doubts_about_them(parts: Parts) -> None:
    await parts.ledger.audit(Doubt(("anna/desktop",), NOON, None, "0.3 apart").entry())
    assert await parts.watched.doubts_since(NOON - timedelta(days=1)) == ()
    assert await parts.watched.workers() is None


async def test_purges_are_counted_as_the_quota_does(parts: Parts) -> None:
    for sha256 in ("1" * 64, "2" * 64, "1" * 64):
        await parts.ledger.audit(AuditEntry(NOON, "service", PURGE, {"sha256": sha256}))
    await parts.ledger.audit(AuditEntry(NOON, "alice", "forget"))
    assert await parts.watched.purged_since(NOON) == 2
    assert await parts.watched.purged_since(NOON + timedelta(seconds=1)) == 0


async def test_a_file_that_cannot_be_read_is_told_and_the_service_scans(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PICTWARDEN_NOTICE_URLS_FILE", "/nowhere/urls")
    async with noticing(parse_settings({}), cast(Moderator, parts.moderator), parts.ledger, parts.lists):
        assert not any(each.get_name() == "notices" for each in asyncio.all_tasks())
    (line,) = [each.message for each in caplog.records]
    assert "no notice is sent: PICTWARDEN_NOTICE_URLS_FILE names /nowhere/urls" in line
    assert parts.watched.over_quota() == {"kbin": 3}


async def test_notices_go_out_while_the_environment_says_where_to(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_URLS", URL)
    sender = WatchedSender(VirtualClock())
    settings = parse_settings({"notices": {"urls_env": "MY_URLS", "unreachable_after_s": 0}})
    parts.moderator.fault = UnavailableError("the scorer is down")
    async with noticing(settings, cast(Moderator, parts.moderator), parts.ledger, parts.lists, sender):
        await sender.has_taken.wait()
    (_, job), *_ = sender.taken
    assert (job.url, job.message.title) == (URL, "Pictwarden: no picture can be scanned")
    assert not any(each.get_name() == "notices" for each in asyncio.all_tasks())


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (UnavailableError("batching has ended"), "the service has ended: batching has ended."),
        (PolicyError("no such rule"), "the service has ended: no such rule."),
        (UnavailableError("no https://host/a?sig=hush-hush\nno more hush"), "ended: no https://host/a. It began"),
        (KeyError("hush-hush-hush"), "the service has ended: a fault of this program at own_work.py:"),
    ],
)
async def test_an_end_by_itself_is_told_in_its_own_words(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, fault: Exception, told: str
) -> None:
    monkeypatch.setenv("PICTWARDEN_NOTICE_URLS", URL)
    sender = WatchedSender(VirtualClock())
    with pytest.raises(type(fault)):
        async with noticing(parse_settings({}), cast(Moderator, parts.moderator), parts.ledger, parts.lists, sender):
            raise fault
    ((_, job),) = sender.taken
    assert told in job.message.body
    assert "hush" not in job.message.body


async def test_without_an_address_nothing_is_asked(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PICTWARDEN_NOTICE_URLS", raising=False)
    settings = parse_settings({})
    async with noticing(settings, cast(Moderator, parts.moderator), parts.ledger, parts.lists):
        assert not any(each.get_name() == "notices" for each in asyncio.all_tasks())


async def test_without_apprise_the_log_says_what_to_install(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PICTWARDEN_NOTICE_URLS", URL)
    monkeypatch.setattr(AppriseProcess, "is_possible", staticmethod(lambda: False))
    caplog.set_level(logging.INFO)
    async with noticing(parse_settings({}), cast(Moderator, parts.moderator), parts.ledger, parts.lists):
        pass
    (line,) = [each.message for each in caplog.records]
    assert "no notice is sent" in line
    assert "'.[notices]'" in line
    assert "hush" not in caplog.text
