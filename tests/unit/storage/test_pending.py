"""Runs over all decisions that wait: what is done, what waits, and what ends a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from aiohttp import web

from serve_app.domain import AuditEntry, UnavailableError
from serve_app.ledger import MemoryLedger
from serve_app.purges import PURGE
from serve_app.storage import Result, rescan_pending
from serve_app.storage.attempts import Attempts
from serve_app.storage.pending import MAX_LATER_IN_A_ROW
from tests.unit.storage.conftest import Bench, Quota, let_through
from tests.virtual_clock import VirtualClock

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
END = START + timedelta(hours=1)


async def waiting(bench: Bench, *words: str) -> MemoryLedger:
    """A ledger with a pending decision for each word, the oldest first, and their pictures in pict-rs."""
    ledger = MemoryLedger()
    for number, word in enumerate(words):
        body = f"{word} number {number}".encode()
        bench.pictrs.store(body)
        await ledger.record(let_through(body, f"w-{number}", START + timedelta(seconds=number)))
    return ledger


async def run(bench: Bench, ledger: MemoryLedger, quota: Quota | None = None) -> list[Result]:
    async with bench.rescanner(quota) as rescanner:
        return [finding.result async for finding in rescan_pending(ledger, rescanner, lambda: END)]


async def left(ledger: MemoryLedger) -> list[str]:
    return [record.decision.request_id for record in (await ledger.pending()).records]


async def test_what_is_done_is_marked_and_the_rest_waits(bench: Bench) -> None:
    ledger = await waiting(bench, "accept", "reject", "overloaded", "undecodable", "flag")
    bench.pictrs.stored.pop()
    expected = [Result.GONE, Result.UNSCANNABLE, Result.LATER, Result.REJECTED, Result.ACCEPTED]
    assert await run(bench, ledger) == expected, "newest first"
    assert await left(ledger) == ["w-1", "w-2"]
    done = await ledger.get("w-0")
    assert done is not None
    assert done.done_how == "rescan: accepted"
    assert await run(bench, ledger) == [Result.LATER, Result.REJECTED]


async def test_many_decisions_are_all_met(bench: Bench) -> None:
    ledger = await waiting(bench, *["accept"] * 120)
    assert await run(bench, ledger) == [Result.ACCEPTED] * 120
    assert await left(ledger) == []


async def test_a_run_that_was_ended_goes_on(bench: Bench) -> None:
    ledger = await waiting(bench, "accept", "accept", "accept")
    async with bench.rescanner() as rescanner:
        findings = rescan_pending(ledger, rescanner, lambda: END)
        await anext(findings)
        await findings.aclose()
    assert await left(ledger) == ["w-0", "w-1"]
    assert await run(bench, ledger) == [Result.ACCEPTED] * 2


async def test_decisions_that_come_meanwhile_are_left_to_the_next_run(bench: Bench) -> None:
    ledger = await waiting(bench, "accept")
    bench.pictrs.store(b"accept later")
    await ledger.record(let_through(b"accept later", "later", END))
    assert await run(bench, ledger) == [Result.ACCEPTED]
    assert await left(ledger) == ["later"]


async def test_a_service_that_scans_nothing_ends_a_run(bench: Bench) -> None:
    ledger = await waiting(bench, *["unavailable"] * (MAX_LATER_IN_A_ROW + 3))
    with pytest.raises(UnavailableError, match=r"^16 pictures in a row could not be scanned: said\."):
        await run(bench, ledger)
    assert len(bench.scanner.bodies) == MAX_LATER_IN_A_ROW
    assert len(await left(ledger)) == MAX_LATER_IN_A_ROW + 3


async def test_pictures_that_always_reach_the_deadline_do_not_end_a_run(bench: Bench) -> None:
    ledger = await waiting(bench, "accept", *["deadline"] * MAX_LATER_IN_A_ROW)
    assert await run(bench, ledger) == [Result.LATER] * MAX_LATER_IN_A_ROW + [Result.ACCEPTED]


async def test_pictures_that_pictrs_has_spoilt_do_not_end_a_run(bench: Bench) -> None:
    ledger = await waiting(bench, *["accept"] * (MAX_LATER_IN_A_ROW + 1))
    for spoilt in bench.pictrs.stored[1:]:
        answer = partial(web.Response, body=b"half of it", headers={"ETag": spoilt.etag})
        bench.pictrs.answers[f"/image/original/{spoilt.aliases[0]}"] = answer
    assert await run(bench, ledger) == [Result.LATER] * MAX_LATER_IN_A_ROW + [Result.ACCEPTED]


async def test_pictures_that_pictrs_may_still_store_do_not_end_a_run(bench: Bench) -> None:
    ledger = await waiting(bench)
    for number in range(MAX_LATER_IN_A_ROW + 1):
        body = f"accept number {number}".encode()
        await ledger.record(let_through(body, f"w-{number}", END - timedelta(seconds=1)))
    assert await run(bench, ledger) == [Result.LATER] * (MAX_LATER_IN_A_ROW + 1)


async def test_a_picture_that_pictrs_stores_during_a_run_is_met_again_in_it(bench: Bench) -> None:
    ledger, clock = await waiting(bench, *["accept"] * 40), VirtualClock(END)
    await ledger.record(let_through(b"accept soon", "soon", END - timedelta(seconds=1)))
    attempts, found = Attempts(clock), list[tuple[str, Result]]()
    async with bench.rescanner() as rescanner:
        async for finding in rescan_pending(ledger, rescanner, clock, attempts.is_due):
            attempts.note(finding)
            if not found:
                bench.pictrs.store(b"accept soon")
            found.append((finding.decision.request_id, finding.result))
            clock.now += timedelta(seconds=5)
    assert [(index, result) for index, (name, result) in enumerate(found) if name == "soon"] == [
        (0, Result.LATER),
        (20, Result.ACCEPTED),
    ]
    assert len(found) == 42
    assert await left(ledger) == []


async def test_of_twice_the_quota_exactly_the_quota_is_purged_in_a_day(bench: Bench) -> None:
    ledger = await waiting(bench, *["reject"] * 6)
    now = START
    await ledger.audit(AuditEntry(START, "admin", PURGE, {"alias": "of another command"}))
    quota = Quota(4, ledger, "root", lambda: now)
    assert await run(bench, ledger, quota) == [Result.PURGED] * 3 + [Result.REJECTED] * 3
    assert await left(ledger) == ["w-0", "w-1", "w-2"]
    assert len(bench.pictrs.stored) == 3
    assert {each.actor for each in await ledger.audited(PURGE, START)} == {"admin", "root"}
    now = START + timedelta(days=1)
    assert await run(bench, ledger, quota) == [Result.PURGED] * 3
    assert bench.pictrs.stored == []
