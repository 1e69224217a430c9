"""Recorded decisions under a new policy: the differences, and what could not be decided again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import (
    Decision,
    Examination,
    Judged,
    LabelScores,
    ModelIdentity,
    Outcome,
    Unscanned,
    UnscannedReason,
    Verdict,
    ViewPlace,
)
from serve_app.policy import Change, Policy, Replay, ScoredDecision, evaluate, parse_policy

TEXT = """\
policy: demo
model: fake
concepts:
  red: {score: cosine, prompts: [red]}
  drawn: {score: contrast, prompts: [drawing], counter_prompts: [photo]}
rules:
  - {name: red, verdict: reject, when: {concept: red, above: 0.2}}
  - {name: drawn, verdict: flag, when: {concept: drawn, above: 0.6}}
"""
OLD = parse_policy(TEXT, "old.yaml")
STRICTER = parse_policy(TEXT.replace("above: 0.2}", "above: 0.15}"), "new.yaml")
MODEL = ModelIdentity("fake", "0" * 64, 8)
PLACE = ViewPlace(0, (0.0, 0.0, 1.0, 1.0))


def scores_of(
    policy: Policy, logit_scale: float = 100.0, model: ModelIdentity = MODEL, **cosines: float
) -> LabelScores:
    row = [[cosines.get(label, 0.0) for label in policy.labels]]
    return LabelScores(np.array(row, dtype=np.float32), logit_scale, model)


def decided(policy: Policy, scores: LabelScores, request_id: str = "r-1") -> Decision:
    """The decision of ``policy`` at the time."""
    judged = Judged(evaluate(policy, scores), PLACE, "image/png", 1, 1, 1)
    return Decision(
        request_id=request_id,
        decided_at=datetime(2026, 11, 26, tzinfo=UTC),
        sha256="a" * 64,
        body_bytes=100,
        outcome=judged,
        kept=True,
        model=scores.model,
        policy=policy.name,
        policy_digest=policy.digest,
        elapsed_ms=1.0,
        source="lemmy",
        examination=Examination(scores, (PLACE,), "image/png", 1, 1),
        labels=policy.labels,
    )


def replay(policy: Policy, decisions: Iterable[Decision]) -> Replay:
    result = Replay(policy)
    for decision in decisions:
        result.add(ScoredDecision.of(decision))
    return result


def recorded(decision: Decision) -> Decision:
    """As a database has it: with scores in half precision."""
    assert decision.examination is not None
    scores = decision.examination.scores
    rounded = replace(scores, values=scores.values.astype(np.float16).astype(np.float32))
    return replace(decision, examination=replace(decision.examination, scores=rounded))


def test_a_changed_threshold_shows_which_decisions_change() -> None:
    decisions = [
        decided(OLD, scores_of(OLD, red=red, photo=0.1), f"r-{number}") for number, red in enumerate((0.1, 0.18, 0.25))
    ]
    result = replay(STRICTER, decisions)
    assert result.changes == {(None, Change.SAME): 1, ("red", Change.STRICTER): 1, ("red", Change.SAME): 1}
    assert (result.replayed, result.not_replayed) == (3, 0)
    (difference,) = result.differences
    assert (difference.request_id, difference.source, difference.rule, difference.new_rule) == (
        "r-1",
        "lemmy",
        None,
        "red",
    )
    assert difference.margin == pytest.approx(0.03)
    assert difference.place == PLACE
    assert difference.is_certain


def test_a_milder_verdict_is_counted_at_the_rule_that_gave_the_other_one() -> None:
    result = replay(OLD, [decided(STRICTER, scores_of(OLD, red=0.18, photo=0.1))])
    assert result.changes == {("red", Change.LOOSER): 1}
    (difference,) = result.differences
    assert (difference.verdict, difference.new_verdict) == (Verdict.REJECT, Verdict.ACCEPT)


def test_another_rule_with_the_same_verdict_is_no_difference() -> None:
    new = parse_policy(TEXT.replace("name: red,", "name: crimson,"), "new.yaml")
    result = replay(new, [decided(OLD, scores_of(OLD, red=0.3, photo=0.1))])
    assert (result.changes, result.differences) == ({("crimson", Change.SAME): 1}, [])


def test_a_prompt_that_was_never_scored_is_named() -> None:
    new = parse_policy(TEXT.replace("prompts: [red]", "prompts: [red, scarlet]"), "new.yaml")
    result = replay(new, [decided(OLD, scores_of(OLD, red=0.3))] * 2)
    assert (result.replayed, result.insufficient, result.differences) == (0, 2, [])
    assert result.missing_labels == {"scarlet": 2}


def test_prompts_that_the_new_policy_lacks_do_not_matter() -> None:
    head, tail = TEXT.split("  drawn: ")
    new = parse_policy(head + tail[tail.index("rules:") : tail.index("  - {name: drawn")], "new.yaml")
    assert replay(new, [decided(OLD, scores_of(OLD, red=0.3))]).replayed == 1


OTHER_MODEL = ModelIdentity("other", "1" * 64, 8)
SCANNED = decided(OLD, scores_of(OLD, red=0.3))
UNSCANNED: Outcome = Unscanned(UnscannedReason.DEADLINE, "no time was left")


@pytest.mark.parametrize(
    ("decision", "counted_as"),
    [
        (replace(SCANNED, outcome=UNSCANNED, examination=None), "not_judged"),
        (replace(SCANNED, examination=None), "forgotten"),
        (decided(OLD, scores_of(OLD, model=OTHER_MODEL, red=0.3)), "other_model"),
    ],
)
def test_a_decision_that_cannot_be_made_again_is_counted(decision: Decision, counted_as: str) -> None:
    result = replay(STRICTER, [decision])
    assert (result.replayed, getattr(result, counted_as), result.differences) == (0, 1, [])
    assert result.not_replayed == 1


def test_a_difference_that_rounding_alone_could_make_is_not_certain() -> None:
    decision = recorded(decided(OLD, scores_of(OLD, red=0.20001, photo=0.1)))
    result = replay(OLD, [decision])
    (difference,) = result.differences
    assert not difference.is_certain
    assert [change for _, change in result.changes] == [Change.UNCERTAIN]


def test_the_rounding_of_a_contrast_makes_no_other_rule_uncertain() -> None:
    decision = recorded(decided(OLD, scores_of(OLD, red=0.203, drawing=0.1, photo=0.1)))
    assert replay(OLD, [decision]).changes == {("red", Change.SAME): 1}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(*[st.floats(-0.375, 0.375, width=32)] * 3, st.sampled_from([OLD, STRICTER]), st.sampled_from([10.0, 100.0]))
def test_what_is_called_certain_is_what_the_exact_scores_say(
    red: float, drawing: float, photo: float, new: Policy, logit_scale: float
) -> None:
    decision = decided(OLD, scores_of(OLD, logit_scale, red=red, drawing=drawing, photo=photo))
    exact, rounded = replay(new, [decision]), replay(new, [recorded(decision)])
    if all(change is not Change.UNCERTAIN for _, change in rounded.changes):
        assert rounded.changes == exact.changes
    for difference in rounded.differences:
        if difference.is_certain:
            (expected,) = exact.differences
            assert (difference.new_verdict, difference.new_rule) == (expected.new_verdict, expected.new_rule)


BESIDE_PROMPTS = TEXT.replace("rules:", "  nsfw: {score: classifier, model: open-nsfw, output: nsfw}\nrules:").replace(
    "{concept: red, above: 0.2}", "{any: [{concept: red, above: 0.2}, {concept: nsfw, above: 0.5}]}"
)
TOGETHER = ModelIdentity.together([MODEL, ModelIdentity("open-nsfw", "1" * 64, 224)])


def nsfw_at(value: float, red: float = 0.0) -> Decision:
    policy = parse_policy(BESIDE_PROMPTS, "old.yaml")
    return recorded(decided(policy, scores_of(policy, model=TOGETHER, photo=0.1, red=red, **{"open-nsfw/nsfw": value})))


def test_a_policy_for_one_of_the_models_that_scored_can_decide_again() -> None:
    result = replay(OLD, [nsfw_at(0.75)])
    assert result.changes == {("red", Change.LOOSER): 1}
    alone = decided(OLD, scores_of(OLD, red=0.3))
    assert replay(parse_policy(BESIDE_PROMPTS, "new.yaml"), [alone]).other_model == 1


def test_an_unknown_score_is_replayed_as_unknown() -> None:
    policy = parse_policy(BESIDE_PROMPTS, "new.yaml")
    result = replay(policy, [nsfw_at(math.nan), nsfw_at(math.nan, red=0.3)])
    assert result.changes == {(None, Change.SAME): 1, ("red", Change.SAME): 1}


def test_a_known_part_on_its_line_makes_a_rule_with_an_unknown_one_uncertain() -> None:
    policy = parse_policy(BESIDE_PROMPTS, "new.yaml")
    assert replay(policy, [nsfw_at(math.nan, red=0.2001)]).changes == {("red", Change.UNCERTAIN): 1}
    assert replay(policy, [nsfw_at(math.nan, red=0.1999)]).changes == {(None, Change.UNCERTAIN): 1}
