"""What every ledger does. A new back end is one line in ``LEDGERS``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serve_app.domain import (
    Decision,
    Judged,
    Judgement,
    Ledger,
    ModelIdentity,
    Outcome,
    Unscanned,
    UnscannedReason,
    Verdict,
    ViewPlace,
)
from serve_app.ledger import MemoryLedger

MakeLedger = Callable[[Path, int], Ledger]
"""A folder of its own and how many decisions to keep, to a ledger."""

LEDGERS: dict[str, MakeLedger] = {
    "memory": lambda _, kept_decisions: MemoryLedger(kept_decisions),
}
FORGETFUL = ["memory"]
"""Those that keep a bounded number of decisions and forget the oldest."""

MODEL = ModelIdentity("demo", "a" * 64, 224, "protects nobody")
PICTURE, OTHER_PICTURE = "1" * 64, "2" * 64
POLICY_DIGEST = "c" * 64


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return LEDGERS[request.param](tmp_path, 100)


def judged(verdict: Verdict = Verdict.ACCEPT) -> Judged:
    judgement = Judgement(verdict, "a-rule", "größer", view=1, scores={"red": 0.25, "round": -0.5}, margin=0.125)
    return Judged(judgement, ViewPlace(3, (0.0, 0.25, 0.5, 1.0)), "image/gif", 4, 4, 90)


def decision(request_id: str, outcome: Outcome, sha256: str = PICTURE) -> Decision:
    return Decision(
        request_id=request_id,
        decided_at=datetime(2025, 1, 31, 23, 59, 58, 123456, tzinfo=UTC),
        sha256=sha256,
        body_bytes=1234,
        outcome=outcome,
        kept=True,
        model=MODEL,
        policy="demo",
        policy_digest=POLICY_DIGEST,
        elapsed_ms=12.5,
    )


async def test_what_was_recorded_is_found_whole(ledger: Ledger) -> None:
    recorded = decision("r-1", judged(Verdict.REJECT))
    await ledger.record(recorded)
    assert await ledger.find(PICTURE, MODEL.digest, POLICY_DIGEST) == recorded


async def test_an_empty_ledger_finds_nothing(ledger: Ledger) -> None:
    assert await ledger.find(PICTURE, MODEL.digest, POLICY_DIGEST) is None


async def test_pictures_are_told_apart(ledger: Ledger) -> None:
    one, other = decision("r-1", judged()), decision("r-2", judged(Verdict.REJECT), OTHER_PICTURE)
    await ledger.record(one)
    await ledger.record(other)
    assert await ledger.find(PICTURE, MODEL.digest, POLICY_DIGEST) == one
    assert await ledger.find(OTHER_PICTURE, MODEL.digest, POLICY_DIGEST) == other
    assert await ledger.find("3" * 64, MODEL.digest, POLICY_DIGEST) is None


async def test_the_latest_judgement_wins(ledger: Ledger) -> None:
    for number, verdict in enumerate((Verdict.ACCEPT, Verdict.REJECT, Verdict.FLAG)):
        await ledger.record(decision(f"r-{number}", judged(verdict)))
    found = await ledger.find(PICTURE, MODEL.digest, POLICY_DIGEST)
    assert found == decision("r-2", judged(Verdict.FLAG))


@pytest.mark.parametrize("reason", UnscannedReason)
async def test_what_was_not_scanned_is_never_found(ledger: Ledger, reason: UnscannedReason) -> None:
    await ledger.record(decision("r-1", Unscanned(reason, "why")))
    assert await ledger.find(PICTURE, MODEL.digest, POLICY_DIGEST) is None


async def test_what_was_not_scanned_later_does_not_hide_a_judgement(ledger: Ledger) -> None:
    await ledger.record(decision("r-1", judged()))
    await ledger.record(decision("r-2", Unscanned(UnscannedReason.OVERLOADED, "why")))
    assert await ledger.find(PICTURE, MODEL.digest, POLICY_DIGEST) == decision("r-1", judged())


async def test_a_judgement_holds_for_its_model_and_policy_alone(ledger: Ledger) -> None:
    await ledger.record(decision("r-1", judged()))
    assert await ledger.find(PICTURE, "b" * 64, POLICY_DIGEST) is None
    assert await ledger.find(PICTURE, MODEL.digest, "d" * 64) is None
    assert await ledger.find(PICTURE, "", "") is None


async def test_models_and_policies_have_judgements_side_by_side(ledger: Ledger) -> None:
    first = decision("r-1", judged())
    for_model = dataclasses.replace(first, request_id="r-2", model=dataclasses.replace(MODEL, digest="b" * 64))
    for_policy = dataclasses.replace(first, request_id="r-3", policy_digest="d" * 64)
    for each in (first, for_model, for_policy):
        await ledger.record(each)
    for each in (first, for_model, for_policy):
        assert await ledger.find(PICTURE, each.model.digest, each.policy_digest) == each


@pytest.mark.parametrize("kind", FORGETFUL)
async def test_the_oldest_is_forgotten_first_and_only_when_there_is_no_room(kind: str, tmp_path: Path) -> None:
    ledger = LEDGERS[kind](tmp_path, 3)
    names = [str(number) * 64 for number in range(6)]

    async def known() -> list[str]:
        return [name for name in names if await ledger.find(name, MODEL.digest, POLICY_DIGEST)]

    for number, name in enumerate(names):
        await ledger.record(decision(f"r-{number}", judged(), name))
        assert await known() == names[max(0, number - 2) : number + 1]


@pytest.mark.parametrize("kind", FORGETFUL)
async def test_forgetting_an_earlier_judgement_leaves_the_later_one(kind: str, tmp_path: Path) -> None:
    ledger = LEDGERS[kind](tmp_path, 2)
    await ledger.record(decision("r-1", judged(Verdict.ACCEPT)))
    await ledger.record(decision("r-2", judged(Verdict.REJECT)))
    await ledger.record(decision("r-3", Unscanned(UnscannedReason.DEADLINE, "why"), OTHER_PICTURE))
    assert await ledger.find(PICTURE, MODEL.digest, POLICY_DIGEST) == decision("r-2", judged(Verdict.REJECT))
    await ledger.record(decision("r-4", Unscanned(UnscannedReason.DEADLINE, "why"), OTHER_PICTURE))
    assert await ledger.find(PICTURE, MODEL.digest, POLICY_DIGEST) is None


@pytest.mark.parametrize("kind", FORGETFUL)
@pytest.mark.parametrize("kept_decisions", [0, -1])
def test_a_ledger_that_keeps_nothing_is_refused(kind: str, kept_decisions: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        LEDGERS[kind](tmp_path, kept_decisions)
