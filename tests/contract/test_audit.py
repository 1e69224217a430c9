"""The audit of every ledger: what admins read of it, what counts against a quota, and what is erased."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from serve_app.domain import (
    AuditEntry,
)
from tests.contract.conftest import FullLedger, Made


async def test_the_audit_is_newest_first_and_bounded_by_the_reader(ledger: FullLedger, made: Made) -> None:
    entries = [
        AuditEntry(made.noon + timedelta(seconds=number), "admin-secret", "purge", {"alias": "ä.png", "number": number})
        for number in range(3)
    ]
    for entry in entries:
        await ledger.audit(entry)
    assert await ledger.audit_trail() == entries[::-1]
    assert await ledger.audit_trail(limit=1) == entries[-1:]


async def test_of_twice_as_many_as_a_day_allows_exactly_the_quota_is_added(ledger: FullLedger, made: Made) -> None:
    def entry(number: int, hours: float = 0.0) -> AuditEntry:
        return AuditEntry(made.noon + timedelta(hours=hours, seconds=number), "rescan", "purge", {"number": number})

    await ledger.audit(AuditEntry(made.noon, "admin-secret", "forget", {"decisions": 3}))
    added = await asyncio.gather(*(ledger.audit_within(entry(number), 5, "number") for number in range(10)))
    assert sum(added) == 5
    assert len(await ledger.audit_trail()) == 6
    assert not await ledger.audit_within(entry(20, hours=11.9), 5, "number")
    assert await ledger.audit_within(entry(21, hours=12.1), 5, "number"), "another day has begun"
    assert not await ledger.audit_within(entry(22, hours=12.1), 0, "number")


async def test_a_deed_that_fails_is_tried_again_without_another_unit_of_its_quota(
    ledger: FullLedger, made: Made
) -> None:
    def entry(**detail: str) -> AuditEntry:
        return AuditEntry(made.noon, "rescan", "purge", detail)

    for _ in range(20):
        assert await ledger.audit_within(entry(sha256="1", why="csam"), 3, "sha256")
    assert await ledger.audit_within(entry(sha256="2"), 3, "sha256")
    assert await ledger.audit_within(entry(alias="of an earlier version"), 3, "sha256")
    for another in ({"sha256": "3"}, {"alias": "of an earlier version"}):
        assert not await ledger.audit_within(entry(**another), 3, "sha256")
    assert await ledger.audit_within(entry(sha256="1"), 3, "sha256")
    assert not await ledger.audit_within(entry(sha256="1"), 2, "sha256"), "a smaller quota holds at once"
    assert len(await ledger.audit_trail()) == 23, "each try is in the audit"


async def test_of_the_audit_only_reads_are_erased_after_their_time(ledger: FullLedger, made: Made) -> None:
    def entry(action: str, days: float) -> AuditEntry:
        return AuditEntry(made.noon + timedelta(days=days), "monitor", action)

    entries = [
        entry("GET /api/v1/admin/decisions", -91),
        entry("POST /api/v1/admin/forget", -91),
        entry("forget", -10_000),
        entry("GET /api/v1/admin/decisions", -89),
    ]
    for each in entries:
        await ledger.audit(each)
    await ledger.prune(made.noon)
    assert await ledger.audit_trail() == entries[:0:-1]
