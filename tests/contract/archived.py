"""What the tests of archives of decisions share."""

from __future__ import annotations

import dataclasses

from serve_app.domain import (
    Decision,
    DecisionFilter,
    DecisionPage,
    ShadowJudgement,
    Unscanned,
    UnscannedReason,
    Verdict,
)
from tests.contract.conftest import FullLedger

ON_TRIAL = ShadowJudgement(Verdict.FLAG, "größer", 0.125, "trial", "d" * 64)
REFUSED = Unscanned(UnscannedReason.DEADLINE, "no time was left")


def ids(page: DecisionPage) -> list[str]:
    return [each.decision.request_id for each in page.records]


async def of_body(ledger: FullLedger, sha256: str, limit: int = 100, cursor: str | None = None) -> DecisionPage:
    return await ledger.search(DecisionFilter(sha256=sha256), limit, cursor)


def without_examination(decision: Decision) -> Decision:
    """As lists of decisions show it; decisions are compared without their examinations."""
    return dataclasses.replace(decision, examination=None)


async def record_all(ledger: FullLedger, *decisions: Decision) -> None:
    for decision in decisions:
        await ledger.record(decision)
