"""The service's own hunts: when they happen, what they do, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from serve_app.database.location import Location
from serve_app.domain import AuditEntry, Lane
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.ledger import MemoryLedger
from serve_app.ledger.memory import OwnLease
from serve_app.ledger.sql import SqlLedger
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.opening import open_list_store
from serve_app.logs.events import Event
from serve_app.pictrs import API_KEY_ENV
from serve_app.policy import Policies, parse_policy
from serve_app.purges import PURGE
from serve_app.settings import parse_settings
from serve_app.storage.hunt import in_service
from serve_app.storage.hunt.audit import hunt_entry, hunted_to, latest_outcome
from serve_app.storage.hunt.in_service import LOOK_EVERY_S, ServiceHunts, hunting
from tests.contract.conftest import Made, patient_ledger
from tests.contract.pictrs.stand_in import API_KEY, StandIn, standing_in
from tests.virtual_clock import VirtualClock

BODIES = [f"picture {number}".encode() for number in range(3)]

BOTH = 2
"""Asleep between two looks: the one who looks, and the one who renews the lease."""

DAY_S = 86_400


def policies(above: float) -> Policies:
    """The pictures of these tests have the score 0.2."""
    text = f"""\
policy: a-policy
model: demo
concepts:
  red: {{score: cosine, prompts: [a red view]}}
rules:
  - {{name: red, verdict: reject, when: {{concept: red, above: {above}}}, message: No red.}}
"""
    return Policies(parse_policy(text, "a.yaml"))


MILD, STRICT = policies(0.9), policies(0.1)


class Bench:
    """Accepted decisions on :data:`BODIES`, pict-rs, which has stored them, and the service that hunts."""

    def __init__(self, ledger: SqlLedger, lists: LiveLists, pictrs: StandIn) -> None:
        self.ledger = ledger
        self.lists = lists
        self.pictrs = pictrs
        # The ledger itself erases what is old, by the time of the machine.
        self.clock = VirtualClock(datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0))

    def put(self, number: int, kind: ListKind = ListKind.DENY) -> None:
        fingerprint = Fingerprint(FingerprintType.SHA256, hashlib.sha256(BODIES[number]).digest())
        bank = "banned" if kind is ListKind.DENY else "allowed"
        self.lists.store.add([EntryDraft(kind=kind, fingerprint=fingerprint, bank=bank, reason="a reason")])
        self.lists.refresh()

    @contextlib.asynccontextmanager
    async def hunts(
        self, mode: str = "report", by: Policies = MILD, sources: Mapping[str, Any] = {}, **pictrs: Any
    ) -> AsyncIterator[None]:
        settings = parse_settings({"hunt": mode, "sources": sources, "pictrs": {"url": self.pictrs.url} | pictrs})
        hunts = ServiceHunts(settings, by, self.ledger, self.lists, self.clock, self.clock.sleep)
        running = asyncio.create_task(hunts.run())
        try:
            await self.clock.advance(1, BOTH)
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def look(self, seconds: float = LOOK_EVERY_S) -> None:
        await self.clock.advance(seconds, BOTH)

    async def audit(self) -> list[AuditEntry]:
        """That of hunts."""
        return [each for each in await self.ledger.audit_trail() if each.action == "hunt"][::-1]

    async def outcomes(self) -> list[tuple[int | str, int | str]]:
        return [(each.detail["purged"], each.detail["left"]) for each in await self.audit()]


@pytest.fixture
async def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Bench]:
    monkeypatch.setenv(API_KEY_ENV, API_KEY)
    caplog.set_level(logging.INFO)
    location, made = Location(tmp_path, tmp_path / "ledger.db"), Made()
    async with standing_in() as pictrs:
        with (
            contextlib.closing(patient_ledger(location)) as ledger,
            contextlib.closing(LiveLists(open_list_store(location))) as lists,
        ):
            # A day has thousands of renewals, each of which a database would sync to the disk.
            monkeypatch.setattr(ledger, "lease", lambda name: OwnLease())
            bench = Bench(ledger, lists, pictrs)
            for number, body in enumerate(BODIES):
                sha256, decided_at = hashlib.sha256(body).hexdigest(), bench.clock.now - timedelta(days=1)
                decision = made.decision(number, sha256=sha256, body_bytes=len(body), decided_at=decided_at)
                await ledger.record(decision)
                pictrs.store(body)
            yield bench


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [each.message for each in caplog.records if isinstance(each.msg, Event) and each.msg.name == event]


async def test_it_reports_once_what_is_denied_since_and_leaves_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.hunts():
        assert await bench.outcomes() == [(0, 0)], "nothing is there to be found, and the next hunt begins here"
        bench.put(1)
        await bench.look()
        (line,) = said(caplog, "stored_picture_rejected")
        assert "entry 1 in bank banned (sha256): a reason" in line
        assert "`pictwarden hunt --purge` removes it" in line
        assert await bench.outcomes() == [(0, 0), (0, 1)]
        await bench.look(10 * LOOK_EVERY_S)
        bench.put(0)
        await bench.look()
        assert len(said(caplog, "stored_picture_rejected")) == 2
        assert await bench.outcomes() == [(0, 0), (0, 1), (0, 2)]
        await bench.look(2 * DAY_S)
        assert len(said(caplog, "stored_picture_rejected")) == 2
        assert await bench.outcomes() == [(0, 0), (0, 1), (0, 2), (0, 2)], "how many are left is recorded every day"
    assert len(bench.pictrs.stored) == 3


@pytest.mark.parametrize("by", [MILD, STRICT], ids=["by the lists", "by the policy"])
async def test_what_an_admin_allows_during_a_hunt_is_not_purged(bench: Bench, by: Policies) -> None:
    if by is MILD:
        for number in range(3):
            bench.put(number)

    def allow() -> None:
        for number in range(3):
            bench.put(number, ListKind.ALLOW)
        bench.lists.store.remove([each.id for each in bench.lists.store.page("banned")])
        bench.lists.refresh()

    bench.pictrs.after_purge = allow
    async with bench.hunts("purge", by):
        assert len(bench.pictrs.stored) == 2
        assert await bench.outcomes() == [(1, 0)]


async def test_what_is_left_is_done_once_somebody_has_dealt_with_it(bench: Bench) -> None:
    bench.put(1)
    async with bench.hunts():
        assert await bench.outcomes() == [(0, 1)]
        bench.put(1, ListKind.ALLOW)
        bench.lists.store.remove([1])
        bench.lists.refresh()
        await bench.look(DAY_S)
        assert await bench.outcomes() == [(0, 1), (0, 0)]
        assert (await bench.audit())[-1].detail["lists_version"] == bench.lists.snapshot.version


async def test_it_purges_within_the_quota_of_each_day(bench: Bench) -> None:
    for number in range(3):
        bench.put(number)
    async with bench.hunts("purge", max_purges_per_day=2):
        assert len(bench.pictrs.stored) == 1
        assert await bench.outcomes() == [(2, 1)]
        await bench.look(10 * LOOK_EVERY_S)
        assert len(bench.pictrs.stored) == 1
        await bench.look(DAY_S)
        assert bench.pictrs.stored == []
        assert await bench.outcomes() == [(2, 1), (1, 0)]
    assert {each.actor for each in await bench.ledger.audit_trail()} == {"service"}


async def test_a_changed_policy_is_hunted_by_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async with bench.hunts("purge"):
        await bench.look()
    assert len(bench.pictrs.stored) == 3
    async with bench.hunts("purge", by=STRICT):
        assert bench.pictrs.stored == []
        assert await bench.outcomes() == [(0, 0), (3, 0)]
        assert len(said(caplog, "hunted")) == 3
    async with bench.hunts("purge", by=STRICT):
        await bench.look()
    assert await bench.outcomes() == [(0, 0), (3, 0)]
    assert len(said(caplog, "hunted")) == 3


async def test_what_the_policy_rejects_is_reported_with_the_command_that_removes_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.hunts(by=STRICT):
        lines = said(caplog, "stored_picture_rejected")
        assert len(lines) == 3
        assert all("`pictwarden hunt --policy --purge` removes it" in line for line in lines)


async def test_what_the_policy_cannot_judge_is_said(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    text = "policy: a\nmodel: another\nconcepts: {red: {score: cosine, prompts: [red]}}\nrules:\n"
    text += "  - {name: red, verdict: reject, when: {concept: red, above: 0.5}}\n"
    async with bench.hunts(by=Policies(parse_policy(text, "a.yaml"))):
        (line,) = said(caplog, "hunt_unjudged")
    assert line.endswith("3: another model scored them")


async def test_while_pict_rs_fails_it_is_tried_ever_less_often_and_said_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    asked = 0

    def answer() -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"code": "read-only"}, status=400)

    bench.pictrs.answers["/internal/hashes"] = answer
    bench.put(1)
    async with bench.hunts("purge"):
        await bench.look(3500)
        assert asked == 6, "after 0, 1, 3, 7, 15 and 31 minutes"
        assert len(said(caplog, "hunt_postponed")) == 1
        bench.pictrs.answers.clear()
        await bench.look(3600)
        assert len(bench.pictrs.stored) == 2


async def test_a_command_says_nothing_about_what_the_service_has_left(bench: Bench) -> None:
    bench.put(1)
    async with bench.hunts():
        await bench.ledger.audit(hunt_entry(bench.clock.now, "alice", 0, 0, policies="a-digest"))
        latest = await latest_outcome(bench.ledger, bench.clock.now - timedelta(days=1))
        assert latest is not None
        assert latest.left == 1
        assert (await hunted_to(bench.ledger)).policies == "a-digest"


async def test_what_a_command_has_dealt_with_is_not_told_as_left_after_a_start(bench: Bench) -> None:
    bench.put(1)
    async with bench.hunts():
        assert await bench.outcomes() == [(0, 1)]
    bench.pictrs.stored.clear()
    version, now = bench.lists.snapshot.version, bench.clock.now
    await bench.ledger.audit(hunt_entry(now, "alice", 1, 0, lists_version=version, policies=MILD.digests))
    async with bench.hunts():
        latest = await latest_outcome(bench.ledger, bench.clock.now - timedelta(days=1))
        assert latest is not None
        assert latest.left == 0


async def test_what_a_hunt_purged_before_it_failed_is_recorded(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        bench.put(number)

    def refuse() -> web.Response:
        return web.json_response({"code": "read-only"}, status=400)

    bench.pictrs.after_purge = lambda: bench.pictrs.answers.update({"/internal/purge": refuse})
    async with bench.hunts("purge"):
        assert len(bench.pictrs.stored) == 2
        assert await bench.outcomes() == [(1, 0)]
        assert len(said(caplog, "hunt_postponed")) == 1
        assert "lists_version" not in (await bench.audit())[-1].detail


async def test_without_pict_rs_it_says_what_it_found(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.put(1)
    async with bench.hunts(url=None):
        (line,) = said(caplog, "stored_picture_rejected")
        assert await bench.outcomes() == [(0, 0)], "there is nothing to be done with it"
    assert "set pictrs.url to find and purge it" in line
    assert not line.endswith("removes it")


async def test_without_a_key_it_says_what_it_found(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(API_KEY_ENV)
    for number in range(2):
        bench.put(number)
    async with bench.hunts():
        assert len(said(caplog, "stored_picture_rejected")) == 2
        assert await bench.outcomes() == [(0, 2)]
    assert said(caplog, "hunt_postponed") == []


async def test_a_picture_of_another_source_is_told_and_does_not_wait(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    sources = {"own": {"secrets_env": "A"}, "other": {"secrets_env": "B"}}
    body = b"another instance's"
    decision = Made().decision(8, sha256=hashlib.sha256(body).hexdigest(), body_bytes=len(body), source="other")
    await bench.ledger.record(decision)
    fingerprint = Fingerprint(FingerprintType.SHA256, bytes.fromhex(decision.sha256))
    bench.lists.store.add([EntryDraft(kind=ListKind.DENY, fingerprint=fingerprint, bank="banned", reason="a reason")])
    bench.lists.refresh()
    async with bench.hunts("purge", sources=sources, source="own"):
        (line,) = said(caplog, "stored_picture_rejected")
        assert "it is a picture of the source other" in line
        assert await bench.outcomes() == [(0, 0)]


async def test_what_was_scanned_in_the_background_and_is_not_in_pict_rs_is_counted(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    decision = Made().decision(8, sha256="ab" * 32, lane=Lane.BACKGROUND)
    await bench.ledger.record(decision)
    async with bench.hunts(by=STRICT):
        (line,) = said(caplog, "hunt_passed_over")
    assert line.startswith("hunt: 1 rejected pictures")


async def test_the_purges_are_read_once_in_a_hunt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, audited = list[str](), bench.ledger.audited

    async def note(action: str, since: datetime) -> Sequence[AuditEntry]:
        asked.append(action)
        return await audited(action, since)

    monkeypatch.setattr(bench.ledger, "audited", note)
    bench.pictrs.stored.clear()
    async with bench.hunts(by=STRICT):
        assert await bench.outcomes() == [(0, 0)]
    assert asked.count(PURGE) == 1


async def test_a_large_import_is_left_to_the_command(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_service, "MOST_ENTRIES", 1)
    async with bench.hunts("purge"):
        for number in range(2):
            bench.put(number)
        await bench.look()
        await bench.look(2 * DAY_S)
        (line,) = said(caplog, "hunt_too_large")
        assert line.startswith("2 entries were added")
        assert len(bench.pictrs.stored) == 3
        bench.put(2)
        await bench.look()
        assert len(bench.pictrs.stored) == 2, "what comes later is hunted for all the same"


async def test_what_a_policy_rejects_is_found_however_many_entries_are_new(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_service, "MOST_ENTRIES", 1)
    for number in range(2):
        bench.put(number)
    async with bench.hunts("purge", STRICT):
        assert bench.pictrs.stored == []
        assert await bench.outcomes() == [(3, 0)]


async def test_a_list_that_denies_nearly_everything_ends_a_hunt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(in_service, "MOST_LEFT", 2)
    for number in range(3):
        bench.put(number)
    async with bench.hunts():
        assert len(said(caplog, "stored_picture_rejected")) == 2
        assert "lists_version" not in (await bench.audit())[-1].detail


@pytest.mark.parametrize(("mode", "is_running"), [(False, False), ("off", False), ("report", True)])
async def test_it_ends_with_the_service(bench: Bench, mode: str | bool, is_running: bool) -> None:
    before = asyncio.all_tasks()
    async with hunting(parse_settings({"hunt": mode}), MILD, bench.ledger, bench.lists):
        assert {each.get_name() for each in asyncio.all_tasks() - before} == ({"hunt"} if is_running else set())
    assert asyncio.all_tasks() == before


async def test_a_ledger_in_memory_has_nothing_to_hunt_through() -> None:
    before = asyncio.all_tasks()
    async with hunting(parse_settings({}), MILD, MemoryLedger(), LiveLists(MemoryListStore())):
        assert asyncio.all_tasks() == before
