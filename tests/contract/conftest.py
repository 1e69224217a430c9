"""Decisions to record, and every ledger to record them in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
import pytest

from serve_app.domain import (
    Decision,
    DecisionArchive,
    Examination,
    FrameFingerprint,
    Judged,
    Judgement,
    LabelScores,
    Ledger,
    ModelIdentity,
    Outcome,
    Verdict,
    ViewPlace,
)
from serve_app.ledger import MemoryLedger

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
MODEL = ModelIdentity("demo", "a" * 64, 224, "protects nobody", "b" * 64)
PICTURE, OTHER_PICTURE = "1" * 64, "2" * 64


class FullLedger(Ledger, DecisionArchive, Protocol):
    """Both ports, as every ledger has them."""


@dataclasses.dataclass(frozen=True)
class Made:
    """Decisions as the tests want them, each a second after the one before."""

    model: ModelIdentity = MODEL
    picture: str = PICTURE
    other_picture: str = OTHER_PICTURE
    noon: datetime = NOON
    labels: tuple[str, ...] = ("a red view", "größer", "a green view")

    def judged(self, verdict: Verdict = Verdict.ACCEPT, *, is_truncated: bool = False) -> Judged:
        rule = None if verdict is Verdict.ACCEPT else f"rule-{verdict}"
        judgement = Judgement(verdict, rule, "größer", view=1, scores={"red": 0.25, "round": -0.5}, margin=0.125)
        return Judged(judgement, ViewPlace(3, (0.0, 0.25, 0.5, 1.0)), "image/gif", 2, 2, 90, is_truncated)

    def examination(self, *, is_truncated: bool = False, labels: int = 3) -> Examination:
        cosines = np.linspace(-1, 1, 2 * labels, dtype=np.float32).reshape(2, labels)
        fingerprints = tuple(FrameFingerprint(frame, 80 + frame, bytes(range(frame, 256 + frame))) for frame in (0,))
        return Examination(
            LabelScores(cosines, 100.0, self.model),
            (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)), ViewPlace(3, (0.0, 0.25, 0.5, 1.0))),
            "image/gif",
            2,
            90,
            is_truncated,
            fingerprints,
            preprocess_ms=7.5,
            score_ms=2.5,
        )

    def decision(self, number: int, outcome: Outcome | None = None, **changed: Any) -> Decision:
        """The decision ``r-{number}``, ``number`` seconds after noon; judged and accepted unless told otherwise."""
        outcome = outcome or self.judged()
        decision = Decision(
            request_id=f"r-{number}",
            decided_at=NOON + timedelta(seconds=number),
            sha256=PICTURE,
            body_bytes=1234,
            outcome=outcome,
            kept=True,
            model=MODEL,
            policy="demo",
            policy_digest="c" * 64,
            elapsed_ms=12.5,
        )
        if isinstance(outcome, Judged):
            seen = self.examination(is_truncated=outcome.is_truncated)
            decision = dataclasses.replace(decision, examination=seen, labels=self.labels)
        return dataclasses.replace(decision, **changed)


@pytest.fixture
def made() -> Made:
    return Made()


LEDGERS: dict[str, Callable[[], FullLedger]] = {
    "memory": lambda: MemoryLedger(wall_clock=lambda: NOON),
}


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest) -> FullLedger:
    """An empty ledger of every kind; its clock stands at noon."""
    return LEDGERS[request.param]()
