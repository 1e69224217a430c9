"""Recorded scores of many bodies at once: no body that a policy rejects is missed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import LabelScores, ModelIdentity, Verdict
from serve_app.policy import (
    Insufficient,
    RecordedJudgement,
    evaluate,
    judge_recorded,
    margins_of,
    may_reject,
    parse_policy,
)
from serve_app.policy.evaluation import views_reaching

MODEL = ModelIdentity("fake", "0" * 64, 8)
POLICY = parse_policy(
    """\
policy: demo
model: fake
concepts:
  red: {score: cosine, prompts: [red]}
  drawn: {score: contrast, prompts: [drawing], counter_prompts: [photo]}
  minor: {score: classifier, model: age, output: minor}
conditions:
  drawing: {all: [{concept: drawn, above: 0.3}, {any: [{concept: red, above: 0.1}, {concept: minor, above: 0.7}]}]}
  either: {any: [{condition: drawing}, {concept: red, above: 0.4}]}
rules:
  - {name: red, verdict: reject, when: {all: [{concept: red, above: 0.2}, {not: {concept: minor, above: 0.5}}]}}
  - {name: minor, verdict: reject, when: {all: [{concept: drawn, above: 0.6}, {concept: minor, above: 0.5}]}}
  - {name: all, verdict: reject, when: {all: [{condition: drawing}, {condition: either}, {concept: red, above: 0}]}}
  - {name: drawn, verdict: flag, when: {concept: drawn, above: 0.6}}
""",
    "demo.yaml",
)
TOGETHER = ModelIdentity.together([MODEL, ModelIdentity("age", "1" * 64, 64)])
cosines = st.floats(-1, 1, width=16)
unknown = st.one_of(st.just(float("nan")), st.floats(0, 1, width=16))
views = st.lists(st.tuples(cosines, cosines, cosines, unknown), min_size=1, max_size=3)


@given(st.lists(views, min_size=1, max_size=5))
def test_every_body_that_may_be_rejected_is_among_them(bodies: list[list[tuple[float, ...]]]) -> None:
    scores = [LabelScores(np.array(each, dtype=np.float32), 100.0, TOGETHER) for each in bodies]
    firsts = np.cumsum([0, *(len(each) for each in bodies[:-1])])
    together = LabelScores(np.concatenate([each.values for each in scores]), 100.0, TOGETHER)
    found = may_reject(POLICY, together, POLICY.labels, firsts)
    for number, each in enumerate(scores):
        judged = judge_recorded(POLICY, each, POLICY.labels)
        assert isinstance(judged, RecordedJudgement)
        assert judged.judgement == evaluate(POLICY, each)
        assert judged.mildest.severity <= judged.judgement.verdict.severity <= judged.severest.severity
        if judged.severest is Verdict.REJECT:
            assert number in found


@given(views, st.floats(-1, 1), st.sampled_from([None, 2]))
def test_conditions_one_after_the_other_leave_the_views_that_reach_the_whole(
    some: list[tuple[float, ...]], least: float, decimals: int | None
) -> None:
    policy = replace(POLICY, cosine_decimals=decimals)
    scores = LabelScores(np.array(some, dtype=np.float32), 100.0, TOGETHER)
    made_of = margins_of(policy, scores)
    for rule in policy.rules:
        wanted = (made_of.least_of(rule.when) >= least).nonzero()[0]
        assert views_reaching(policy, scores, rule.when, least).tolist() == wanted.tolist()


def test_what_cannot_be_judged_is_said() -> None:
    scores = LabelScores(np.zeros((1, 4), dtype=np.float32), 100.0, TOGETHER)
    assert judge_recorded(POLICY, None, POLICY.labels) is Insufficient.FORGOTTEN
    of_other = LabelScores(scores.values, 100.0, MODEL)
    assert judge_recorded(POLICY, of_other, POLICY.labels) is Insufficient.OTHER_MODEL
    others = ("blue", *POLICY.labels[1:])
    assert judge_recorded(POLICY, scores, others) is Insufficient.MISSING_LABELS
    with pytest.raises(ValueError, match="lack a label"):
        may_reject(POLICY, scores, others, np.array([0]))
