"""What every ledger counts for notices: decisions that are alike, those that wait, and entries of the audit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from serve_app.domain import (
    AuditEntry,
    Lane,
    Listed,
    PendingDecisions,
    Tally,
    Unscanned,
    UnscannedReason,
    Verdict,
)
from serve_app.domain.canary import CANARY_BANK, CANARY_REASON
from tests.contract.conftest import Made

if TYPE_CHECKING:
    from tests.contract.conftest import FullLedger

OVERLOADED = Unscanned(UnscannedReason.OVERLOADED, "too many wait")


async def test_decisions_that_are_alike_are_counted_together(ledger: FullLedger, made: Made) -> None:
    rejected = made.judged(Verdict.REJECT)
    recalled = replace(made.examination(), is_recalled=True, preprocess_ms=0.0, score_ms=0.0)
    for decision in (
        made.decision(0),
        made.decision(1, rejected, kept=False),
        made.decision(2, rejected, kept=False, sha256=made.other_picture, examination=recalled),
        made.decision(3, rejected, kept=False, source="kbin"),
        made.decision(4, rejected, kept=False, lane=Lane.BACKGROUND),
        made.decision(5, Listed(Verdict.REJECT, CANARY_BANK, "1", CANARY_REASON), kept=False),
        made.decision(6, Listed(Verdict.REJECT, "known", "7", "a reason"), kept=False),
        made.decision(7, OVERLOADED),
        made.decision(8, rejected, kept=False),
    ):
        await ledger.record(decision)

    def at(seconds: float) -> timedelta:
        return timedelta(seconds=seconds)

    tallies = await ledger.tally(made.noon + at(1), made.noon + at(8))
    source = made.decision(0).source
    assert sorted(tallies, key=lambda each: each.first_at) == [
        Tally(source, Lane.LIVE, "policy", Verdict.REJECT, "rule-reject", False, 2, made.noon + at(1), 1),
        Tally("kbin", Lane.LIVE, "policy", Verdict.REJECT, "rule-reject", False, 1, made.noon + at(3), 1),
        Tally(source, Lane.BACKGROUND, "policy", Verdict.REJECT, "rule-reject", False, 1, made.noon + at(4), 1),
        Tally(source, Lane.LIVE, "listed", Verdict.REJECT, None, False, 1, made.noon + at(6)),
        Tally(source, Lane.LIVE, "overloaded", None, None, True, 1, made.noon + at(7)),
    ]
    assert list(await ledger.tally(made.noon + at(9), made.noon + at(99))) == []


async def test_pending_decisions_are_counted(ledger: FullLedger, made: Made) -> None:
    assert await ledger.pending_count() == PendingDecisions()
    for number, kept in ((3, True), (1, True), (0, False), (2, True)):
        await ledger.record(made.decision(number, OVERLOADED, kept=kept))
    assert await ledger.pending_count() == PendingDecisions(3, made.noon + timedelta(seconds=1))
    await ledger.mark_done("r-1", "rescan: accepted")
    assert await ledger.pending_count() == PendingDecisions(2, made.noon + timedelta(seconds=2))


async def test_entries_of_one_action_are_found_oldest_first(ledger: FullLedger, made: Made) -> None:
    def entry(number: int, action: str = "notice") -> AuditEntry:
        return AuditEntry(made.noon + timedelta(minutes=number), "service", action, {"number": number})

    for each in (entry(0), entry(1), entry(2, "purge"), entry(3)):
        await ledger.audit(each)
    assert await ledger.audited("notice", made.noon + timedelta(minutes=1)) == [entry(1), entry(3)]
    assert await ledger.audited("another", made.noon) == []
