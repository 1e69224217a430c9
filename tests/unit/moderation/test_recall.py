"""The same bytes are judged once: a recorded examination is recalled, and judged again where the policy has changed."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    Decision,
    Judged,
    OnUnscanned,
    OverloadedError,
    Recollection,
    Verdict,
)
from serve_app.moderation import AdmissionControl, Moderator, Pipeline
from serve_app.policy import Policy, parse_policy

if TYPE_CHECKING:
    from tests.unit.conftest import Service

RED, GREEN = (255, 0, 0), (0, 255, 0)
ADMISSION = AdmissionControl(8.0)


def in_time(seconds: float = 8.0) -> Deadline:
    return Deadline.after(seconds)


async def test_the_same_bytes_are_judged_once(service: Service, draw: Callable[..., bytes]) -> None:
    first = await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
    calls = (service.preprocessor.calls, service.scorer.calls)
    second = await service.moderator.moderate(Body.of(draw(RED)), Call("r-2", in_time()))
    assert (service.preprocessor.calls, service.scorer.calls) == calls == (1, 1)
    assert (second.outcome, second.kept, second.model) == (first.outcome, first.kept, first.model)
    assert second.request_id == "r-2"
    assert service.ledger.recorded == [first, second], "each answer has a decision"
    assert [each.examination.is_recalled for each in (first, second) if each.examination] == [False, True]
    await service.moderator.moderate(Body.of(draw(GREEN)), Call("r-3", in_time()))
    assert service.scorer.calls == 2


async def test_a_decision_names_the_worker_that_scored_also_where_its_scores_are_recalled(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service.scorer.worker = "anna/desktop"
    first = await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
    service.scorer.worker = "ben/desktop"
    recalled = await service.moderator.moderate(Body.of(draw(RED)), Call("r-2", in_time()))
    assert service.scorer.calls == 1
    assert (first.worker, recalled.worker) == ("anna/desktop", "anna/desktop")
    service.scorer.fault = OverloadedError("later")
    unscanned = await service.moderator.moderate(Body.of(draw(GREEN)), Call("r-3", in_time()))
    assert unscanned.worker is None
    decisions = [each.getMessage() for each in caplog.records if " kept=" in each.getMessage()]
    assert [" worker=anna/desktop" in each for each in decisions] == [True, True, False]


@pytest.mark.parametrize("on_unscanned", ["reject", "accept"])
async def test_an_unscanned_picture_is_scanned_when_it_comes_again(
    make_service: Callable[..., Service], draw: Callable[..., bytes], on_unscanned: str
) -> None:
    service = make_service(on_unscanned=on_unscanned)
    service.scorer.fault = OverloadedError("later")
    await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
    service.scorer.fault = None
    decision = await service.moderator.moderate(Body.of(draw(RED)), Call("r-2", in_time()))
    assert isinstance(decision.outcome, Judged)
    assert decision.outcome.judgement.verdict is Verdict.REJECT


async def judged_anew(service: Service, policy: Policy, body: bytes) -> Decision:
    """The decision of another moderator, with another policy, over the same ledger."""
    pipeline = Pipeline(service.preprocessor, service.scorer)
    moderator = Moderator(policy, pipeline, service.ledger, OnUnscanned.REJECT, ADMISSION)
    await moderator.ready(in_time())
    return await moderator.moderate(Body.of(body), Call("r-2", in_time()))


async def test_another_policy_judges_recorded_scores_if_they_suffice_for_its_prompts(
    service: Service, make_policy: Callable[..., Policy], draw: Callable[..., bytes]
) -> None:
    first = await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
    milder = make_policy(reject="flag")
    assert milder.digest != service.policy.digest
    decision = await judged_anew(service, milder, draw(RED))
    assert (service.preprocessor.calls, service.scorer.calls) == (1, 1)
    assert isinstance(decision.outcome, Judged)
    assert decision.outcome.judgement.verdict is Verdict.FLAG
    assert (decision.policy_digest, decision.labels) == (milder.digest, first.labels)


async def test_columns_of_recorded_scores_are_picked_by_their_label(
    service: Service, make_policy: Callable[..., Policy], draw: Callable[..., bytes]
) -> None:
    await service.moderator.moderate(Body.of(draw(GREEN)), Call("r-1", in_time()))
    green_alone = parse_policy(
        "{policy: p, model: fake, concepts: {x: {score: cosine, prompts: [a green view]}},"
        " rules: [{name: r, verdict: reject, when: {concept: x, above: 0.5}}]}",
        "p.yaml",
    )
    decision = await judged_anew(service, green_alone, draw(GREEN))
    assert service.scorer.calls == 1
    assert decision.verdict is Verdict.REJECT
    assert decision.labels == service.policy.labels, "all that was recorded stays recorded"


async def test_a_policy_with_another_prompt_has_the_picture_scanned_again(
    service: Service, make_policy: Callable[..., Policy], draw: Callable[..., bytes]
) -> None:
    await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
    decision = await judged_anew(service, make_policy(**{"a green view": "a green thing"}), draw(RED))
    assert service.preprocessor.calls == 2
    assert "a green thing" in decision.labels


async def test_a_recorded_judgement_is_taken_over_though_recorded_scores_are_rounded(
    service: Service, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
    kept = await service.ledger.kept.recall(first.sha256, first.model.digest)
    assert kept is not None
    scores = dataclasses.replace(kept.examination.scores, values=kept.examination.scores.values * 0)
    rounded = dataclasses.replace(kept, examination=dataclasses.replace(kept.examination, scores=scores))

    async def recall(*_: str) -> Recollection:
        return rounded

    monkeypatch.setattr(service.ledger, "recall", recall)
    second = await service.moderator.moderate(Body.of(draw(RED)), Call("r-2", in_time()))
    assert second.outcome == first.outcome


async def test_a_decision_has_what_was_seen_and_how_long_that_took(
    service: Service, draw: Callable[..., bytes]
) -> None:
    first = await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
    assert first.examination is not None
    assert first.examination.scores.values.shape == (1, len(first.labels))
    assert first.labels == service.policy.labels
    assert first.examination.preprocess_ms > 0
    assert first.examination.score_ms > 0
    again = await service.moderator.moderate(Body.of(draw(RED)), Call("r-2", in_time()))
    assert again.examination is not None
    assert (again.examination.preprocess_ms, again.examination.score_ms) == (0, 0), "no stage ran"
    unscanned = await service.moderator.moderate(Body.of(b"no picture"), Call("r-3", in_time()))
    assert (unscanned.examination, unscanned.labels) == (None, ())
