"""A policy on trial beside the one that decides: it is told of everything, and touches nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    Decision,
    DecisionFilter,
    OnUnscanned,
    ShadowJudgement,
    Verdict,
)
from serve_app.ledger import MemoryLedger
from serve_app.models.fake import FakeEngine
from serve_app.moderation import AdmissionControl, Moderator, Pipeline
from serve_app.policy import Policy, labels_of, parse_policy
from tests.stand_ins import InProcessPreprocessor, InProcessScorer
from tests.unit.conftest import POLICY

if TYPE_CHECKING:
    Draw = Callable[..., bytes]

DECIDING = parse_policy(POLICY, "colours.yaml")
SHADOW = parse_policy(
    """\
policy: on-trial
model: fake
concepts:
  blue: {score: cosine, prompts: [a blue view]}
  red: {score: cosine, prompts: [a red view]}
rules:
  - {name: no-blue, verdict: reject, when: {concept: blue, above: 0.5}}
  - {name: no-red, verdict: reject, when: {concept: red, above: 0.5}}
""",
    "on-trial.yaml",
)
LOGGER = "serve_app.moderation.shadow"


def moderator_of(shadow: Policy | None, ledger: MemoryLedger | None = None) -> Moderator:
    admission = AdmissionControl(8.0)
    scorer = InProcessScorer(engine=FakeEngine(labels_of(DECIDING, shadow)))
    examiner = Pipeline(InProcessPreprocessor(), scorer, lambda: admission.demand)
    return Moderator(DECIDING, examiner, ledger or MemoryLedger(), OnUnscanned.REJECT, admission, shadow=shadow)


async def moderate(moderator: Moderator, content: bytes, request_id: str = "r-1") -> Decision:
    return await moderator.moderate(Body.of(content), Call(request_id, Deadline.after(8.0)))


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


async def test_a_difference_is_logged_and_the_answer_stays(draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    moderator = moderator_of(SHADOW)
    for number, colour in enumerate(["white", "red", "blue"]):
        decision = await moderate(moderator, draw(colour), f"r-{number}")
        alone = await moderate(moderator_of(None), draw(colour))
        assert (decision.outcome, decision.kept) == (alone.outcome, alone.kept)
    (line,) = lines(caplog)
    assert line.startswith("request r-2: the shadow policy on-trial@")
    assert "would reject, rule=no-blue margin=+0.500, and not accept, rule=None" in line
    assert line.endswith("it differs on 1 of 3 pictures since the start")


async def test_a_difference_is_recorded_with_the_decision(draw: Draw) -> None:
    ledger = MemoryLedger()
    moderator = moderator_of(SHADOW, ledger)
    for number, colour in enumerate(["white", "red", "blue"]):
        await moderate(moderator, draw(colour), f"r-{number}")
    (recorded,) = (await ledger.search(DecisionFilter(shadow_differs=True))).records
    assert recorded.decision.request_id == "r-2"
    expected = ShadowJudgement(Verdict.REJECT, "no-blue", 0.5, "on-trial", SHADOW.digest)
    assert recorded.decision.shadow_judgement == expected


async def test_the_prompts_of_both_are_scored_and_recorded(draw: Draw) -> None:
    decision = await moderate(moderator_of(SHADOW), draw("blue"))
    assert decision.labels == labels_of(DECIDING, SHADOW) == ("a green view", "a red view", "a blue view")
    assert decision.examination is not None
    assert decision.examination.scores.values.shape == (1, 3)


async def test_a_picture_from_before_the_trial_is_left_out(draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    ledger = MemoryLedger()
    await moderate(moderator_of(None, ledger), draw("blue"))
    trial = moderator_of(SHADOW, ledger)
    await trial.ready(Deadline.after(8.0))
    assert (await moderate(trial, draw("blue"), "r-2")).verdict == "accept"
    assert lines(caplog) == []


async def test_an_unscanned_picture_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    assert (await moderate(moderator_of(SHADOW), b"no picture")).verdict is None
    assert lines(caplog) == []


async def test_a_shadow_that_fails_does_not_touch_the_answer(draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    text = POLICY.replace("model: fake", "model: fake\nmodel_digest: '123456789012'")
    shadow = parse_policy(text, "of-other-weights.yaml")
    decision = await moderate(moderator_of(shadow), draw("red"))
    assert decision.verdict == "reject"
    assert decision.shadow_judgement is None
    assert f"the shadow policy colours@{shadow.digest[:12]} failed: policy 'colours' is for the model " in caplog.text
    assert "PolicyError" not in caplog.text
