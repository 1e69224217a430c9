"""The answers since version 0.1.0, as files: whoever reads them today can read them tomorrow. Fields are only added."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serve_app.domain import (
    Decision,
    EmptyBodyError,
    Judged,
    Judgement,
    Listed,
    ListMatch,
    MalformedRequestError,
    ModelIdentity,
    OverloadedError,
    RequestError,
    TooLargeError,
    UnauthorisedError,
    Unscanned,
    UnscannedError,
    UnscannedReason,
    Verdict,
    ViewPlace,
)
from serve_app.http.answers import answer_for_decision, answer_for_error

GOLDEN = Path(__file__).parents[2] / "golden" / "answers"


def judged(verdict: Verdict, rule: str | None, margin: float | None, *, is_truncated: bool = False) -> Judged:
    judgement = Judgement(verdict, rule, "It is red.", 1, {"red": 0.912345, "round": -0.00004}, margin)
    return Judged(judgement, ViewPlace(3, (0.0, 1 / 3, 0.5, 1.0)), "image/gif", 4, 2, 90, is_truncated)


def decision(
    outcome: Judged | Listed | Unscanned, kept: bool, notice: str | None = None, digest: str = "ab" * 32
) -> Decision:
    return Decision(
        request_id="0123456789abcdef0123456789abcdef",
        decided_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        sha256="cd" * 32,
        body_bytes=1234,
        outcome=outcome,
        kept=kept,
        model=ModelIdentity("demo", digest, 224, notice),
        policy="colours",
        policy_digest="ef" * 32,
        elapsed_ms=10.0,
    )


DECISIONS = {
    "accepted": decision(judged(Verdict.ACCEPT, None, -0.25), kept=True),
    "flagged": decision(judged(Verdict.FLAG, "look-at-green", 0.5), kept=True),
    "rejected": decision(judged(Verdict.REJECT, "no-red", 0.412345), kept=False, notice="protects nobody"),
    "listed": decision(Listed(Verdict.REJECT, "community", "7", "It is known.", ListMatch.EXACT), kept=False),
    "listed-perceptual": decision(
        Listed(Verdict.REJECT, "community", "8", "A copy is known.", ListMatch.PERCEPTUAL, 12, 0, "image/png", False),
        kept=False,
    ),
    "allowed": decision(Listed(Verdict.ACCEPT, "allowed", "9", "It was allowed."), kept=True),
    "scanned-in-part": decision(judged(Verdict.ACCEPT, None, None, is_truncated=True), kept=True),
    "let-through-unscanned": decision(Unscanned(UnscannedReason.DEADLINE, "no time was left"), kept=True),
    "before-any-model": decision(Unscanned(UnscannedReason.UNAVAILABLE, "starting"), kept=False, digest=""),
    **{f"unscanned-{reason}": decision(Unscanned(reason, f"it is {reason}"), kept=False) for reason in UnscannedReason},
}
ERRORS: dict[str, RequestError | UnscannedError] = {
    "empty-body": EmptyBodyError("the request has no body"),
    "malformed-request": MalformedRequestError("no file part"),
    "unauthorised": UnauthorisedError("a secret is needed"),
    "full": OverloadedError("64 pictures are waiting already"),
    "body-too-large": TooLargeError("the body is 50 bytes; the limit is 41"),
}
ANSWERED = {
    **{name: answer_for_decision(each, 12.345) for name, each in DECISIONS.items()},
    **{name: answer_for_error(each, "0123456789abcdef", 1.0) for name, each in ERRORS.items()},
}


@pytest.mark.parametrize("name", ANSWERED)
def test_an_answer_has_all_that_it_had(name: str) -> None:
    status, answer = ANSWERED[name]
    golden = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    now = json.loads(answer.model_dump_json())
    assert status == golden["status"]
    assert {field: now.get(field) for field in golden["answer"]} == golden["answer"]


def test_every_golden_answer_is_compared() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(ANSWERED)
