"""The ledger in memory stays within its bounds, and forgets the oldest first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from serve_app.domain import (
    AuditEntry,
    Decision,
    DecisionFilter,
    Examination,
    Judged,
    Judgement,
    LabelScores,
    ModelIdentity,
    Verdict,
    ViewPlace,
)
from serve_app.ledger import MemoryLedger
from serve_app.ledger.recent_examinations import RecentExaminations

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MODEL = ModelIdentity("demo", "a" * 64, 224)
WHOLE = ViewPlace(0, (0.0, 0.0, 1.0, 1.0))


def decision(number: int, body: str, views: int = 1) -> Decision:
    scores = LabelScores(np.zeros((views, 1), np.float32), 100.0, MODEL)
    return Decision(
        request_id=f"r-{number}",
        decided_at=NOON + timedelta(seconds=number),
        sha256=body,
        body_bytes=1,
        outcome=Judged(Judgement(Verdict.ACCEPT, None, "", 0, {}, None), WHOLE, "image/png", views, 1, 1),
        kept=True,
        model=MODEL,
        policy="demo",
        policy_digest="c" * 64,
        elapsed_ms=1.0,
        examination=Examination(scores, (WHOLE,) * views, "image/png", 1, 1),
        labels=("a label",),
    )


async def test_the_oldest_is_forgotten_first_and_only_when_there_is_no_room() -> None:
    ledger = MemoryLedger(kept_decisions=3)
    bodies = [str(number) * 64 for number in range(6)]
    for number, body in enumerate(bodies):
        await ledger.record(decision(number, body))
        known = [each for each in bodies if await ledger.recall(each, MODEL.digest)]
        assert known == bodies[max(0, number - 2) : number + 1]


async def test_forgetting_an_earlier_decision_leaves_a_later_one_on_the_same_body() -> None:
    ledger = MemoryLedger(kept_decisions=2)
    for number, body in enumerate("aab"):
        await ledger.record(decision(number, body * 64))
    found = await ledger.search(DecisionFilter())
    assert [each.decision.request_id for each in found.records] == ["r-2", "r-1"]
    assert await ledger.recall("a" * 64, MODEL.digest)
    await ledger.record(decision(3, "b" * 64))
    assert await ledger.recall("a" * 64, MODEL.digest) is None


@pytest.mark.parametrize("kept_decisions", [0, -1])
def test_a_ledger_that_keeps_nothing_is_refused(kept_decisions: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        MemoryLedger(kept_decisions)


@pytest.mark.parametrize("action", ["GET /api/v1/admin/lists", "POST /api/v1/admin/lists/entries"])
async def test_no_number_of_requests_makes_room_in_a_quota(action: str) -> None:
    ledger = MemoryLedger()
    purges = [AuditEntry(NOON, "alice", "purge", {"sha256": str(number)}) for number in range(4)]
    granted = []
    for purge in purges:
        granted.append(await ledger.audit_within(purge, 2, "sha256"))
        for _ in range(10_001):
            await ledger.audit(AuditEntry(NOON, "alice", action))
    assert granted == [True, True, False, False]
    assert len(await ledger.audit_trail(1_000_000)) == 10_002


async def test_requests_that_read_push_no_change_out_of_the_audit() -> None:
    ledger = MemoryLedger()
    await ledger.audit(AuditEntry(NOON, "alice", "POST /api/v1/admin/lists/entries"))
    for _ in range(10_001):
        await ledger.audit(AuditEntry(NOON, "mallory", "GET /api/v1/admin/lists"))
    trail = await ledger.audit_trail(1_000_000)
    assert len(trail) == 10_001
    assert trail[-1].actor == "alice"


def test_examinations_are_bounded_by_their_size_and_the_unused_leave_first() -> None:
    recent = RecentExaminations(max_bytes=10_000)
    for number, body in enumerate("abc"):
        recent.add(decision(number, body, views=100))
    assert recent.get("a", MODEL.digest), "used again"
    recent.add(decision(4, "d", views=1000))
    kept = [body for body in "abcd" if recent.get(body, MODEL.digest)]
    assert kept == ["a", "d"]


def test_an_examination_larger_than_the_bound_is_kept_alone() -> None:
    recent = RecentExaminations(max_bytes=100)
    for number, body in enumerate("ab"):
        recent.add(decision(number, body))
    assert (len(recent), recent.get("b", MODEL.digest) is not None) == (1, True)
