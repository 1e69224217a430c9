"""Decisions on pictures that an entry denies which was added moments later."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from serve_app.domain import Decision, DecisionPage, Lane
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.ledger import MemoryLedger
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.recent import DecidedPicture
from serve_app.storage.late_matches import LOOK_EVERY_S, reopen_late_matches
from tests.unit import listed_decisions
from tests.unit.storage.conftest import let_through
from tests.virtual_clock import VirtualClock

BODY = b"a picture"


class Late:
    """A picture that was let through, and the entry that came too late."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.ledger = MemoryLedger()
        self.lists = LiveLists(MemoryListStore())
        digest = hashlib.sha256(BODY).digest()
        self.lists.decided(DecidedPicture("r-0", digest.hex(), 0, kept=True), None)
        fingerprint = Fingerprint(FingerprintType.SHA256, digest)
        self.lists.store.add([EntryDraft(kind=ListKind.DENY, fingerprint=fingerprint, bank="ours", reason="known")])
        self.lists.refresh()

    async def record(self) -> None:
        await self.ledger.record(let_through(BODY))
        await self.ledger.mark_done("r-0", "rescan: accepted")

    async def pending(self) -> list[str]:
        return [record.decision.request_id for record in (await self.ledger.pending()).records]

    async def look(self) -> None:
        await self.clock.advance(LOOK_EVERY_S, 1)


@pytest.fixture
async def late() -> AsyncIterator[Late]:
    late = Late()
    running = asyncio.create_task(reopen_late_matches(late.lists, late.ledger, late.clock.sleep, late.clock))
    yield late
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_they_wait_for_a_rescan(late: Late) -> None:
    await late.record()
    await late.look()
    assert await late.pending() == ["r-0"]
    await late.ledger.mark_done("r-0", "rescan: purged")
    await late.look()
    assert await late.pending() == [], "once"


async def test_they_may_be_recorded_later(late: Late) -> None:
    await late.look()
    assert await late.pending() == []
    await late.record()
    await late.look()
    assert await late.pending() == ["r-0"]


async def test_one_that_is_never_recorded_is_told_of(late: Late, caplog: pytest.LogCaptureFixture) -> None:
    await late.clock.advance(3600, 1)
    assert [each.message for each in caplog.records if "is not recorded" in each.message] == [
        "request r-0: its decision is not recorded: purge the picture"
    ]


def _judged(request_id: str, body: bytes, seconds_before: float, **changed: Any) -> Decision:
    """A decision that let a picture through, before the lists had an entry."""
    decided_at = VirtualClock().now - timedelta(seconds=seconds_before)
    accepted = listed_decisions.decision(request_id, body, kept=True)
    return replace(accepted, decided_at=decided_at, **changed)


async def test_after_a_restart_the_pictures_of_the_minute_before_are_compared() -> None:
    """The process that let them through was killed before it had told of them."""
    clock, ledger, lists = VirtualClock(), MemoryLedger(), LiveLists(MemoryListStore())
    await ledger.record(_judged("r-late", BODY, 30))
    await ledger.record(_judged("r-older", BODY, 90))
    await ledger.record(_judged("r-other", b"another picture", 30))
    await ledger.record(_judged("r-admin", BODY, 30, lane=Lane.BACKGROUND))
    await ledger.record(_judged("r-known", BODY, 30, lists_version=1))
    fingerprint = Fingerprint(FingerprintType.SHA256, hashlib.sha256(BODY).digest())
    lists.store.add([EntryDraft(kind=ListKind.DENY, fingerprint=fingerprint, bank="ours", reason="known")])
    lists.refresh()
    failures = iter([ConnectionError("the database does not answer")])
    search = ledger.search

    async def search_later(*arguments: Any, **options: Any) -> DecisionPage:
        for failure in failures:
            raise failure
        return await search(*arguments, **options)

    ledger.search = search_later  # type: ignore[method-assign]
    running = asyncio.create_task(reopen_late_matches(lists, ledger, clock.sleep, clock))
    await clock.advance(LOOK_EVERY_S, 1)
    assert [record.decision.request_id for record in (await ledger.pending()).records] == ["r-late"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
