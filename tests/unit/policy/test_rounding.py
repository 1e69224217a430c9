"""Scores in half precision: no margin is further from the one at the time than is said. Other rules do not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import LabelScores, ModelIdentity
from serve_app.policy import Policy, PolicyText, margins_of, parse_policy, rounding_errors
from tests.unit.policy.written_policies import LABELS, written_policies

MODEL = ModelIdentity("fake", "0" * 64, 8)
UNIT = 2.0**-11

SCORES = st.floats(-1, 1, width=32) | st.sampled_from([0.0, 1e-7, 6e-6, 0.25])
VIEWS = st.lists(st.lists(SCORES, min_size=LABELS, max_size=LABELS), min_size=1, max_size=3)


def recorded(values: list[list[float]], logit_scale: float) -> tuple[LabelScores, LabelScores]:
    """Scores as they were, and as a database has them."""
    exact = LabelScores(np.array(values, np.float32), logit_scale, MODEL)
    return exact, replace(exact, values=exact.values.astype(np.float16).astype(np.float32))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(written_policies(), VIEWS, st.sampled_from([10.0, 100.0]), st.sampled_from([None, 3]))
def test_no_margin_is_further_from_the_one_at_the_time_than_is_said(
    written: PolicyText, values: list[list[float]], logit_scale: float, decimals: int | None
) -> None:
    policy = replace(written.policy, cosine_decimals=decimals)
    exact, rounded = recorded(values, logit_scale)
    errors, before, after = rounding_errors(policy, rounded), margins_of(policy, exact), margins_of(policy, rounded)
    for rule in policy.rules:
        apart = np.abs(after.least_of(rule.when) - before.least_of(rule.when))
        assert apart.max() <= errors[rule.name] + 1e-12, rule


MIXED = """\
policy: mixed
model: fake
cosine_decimals: 3
concepts:
  adult: {score: classifier, model: open-nsfw, output: nsfw}
  drawn: {score: contrast, prompts: [drawing], counter_prompts: [photo]}
  red: {score: cosine, prompts: [red]}
  spam: {score: head, file: spam.safetensors, digest: 0123456789ab}
conditions:
  odd: {any: [{concept: spam, above: 0.5}, {not: {concept: red, above: 0.5}}]}
rules:
  - {name: adult, verdict: reject, when: {concept: adult, above: 0.8}}
  - {name: drawn, verdict: flag, when: {all: [{concept: adult, above: 0.5}, {concept: drawn, above: 0.6}]}}
  - {name: red, verdict: flag, when: {concept: red, above: 0.5}}
  - {name: spam, verdict: flag, when: {concept: spam, above: 0.5}}
  - {name: odd, verdict: flag, when: {at_least: {count: 1, of: [{condition: odd}]}}}
"""


@pytest.fixture
def mixed() -> Policy:
    return parse_policy(MIXED, "p.yaml")


def test_the_error_of_a_rule_is_that_of_the_concepts_that_its_condition_is_made_of(mixed: Policy) -> None:
    by_label = {"drawing": 0.25, "photo": 0.125, "red": 0.5, "head/spam@0123456789ab": 0.75, "open-nsfw/nsfw": 0.0625}
    _, rounded = recorded([[by_label[label] for label in mixed.labels]], 100.0)
    # The cosines alone are rounded to decimals, too.
    assert rounding_errors(mixed, rounded) == pytest.approx(
        {
            "adult": 0.0625 * UNIT,
            "drawn": 0.25 * 100 * 2 * (0.25 * UNIT + 0.001),
            "red": 0.5 * UNIT + 0.001,
            "spam": 0.75 * UNIT,
            "odd": 0.5 * UNIT + 0.001,
        }
    )


def test_scores_that_are_recorded_as_they_were_have_no_error(mixed: Policy) -> None:
    exact, _ = recorded([[0.1, 0.2, 0.3, 0.4, 0.5]], 100.0)
    assert set(rounding_errors(mixed, exact).values()) == {0.0}


def test_an_unknown_score_has_no_error_of_its_own(mixed: Policy) -> None:
    _, rounded = recorded([[0.1, 0.1, 0.1, 0.5, np.nan], [0.1, 0.1, 0.1, 0.5, 0.5]], 100.0)
    assert rounding_errors(mixed, rounded)["adult"] == 0.5 * UNIT
