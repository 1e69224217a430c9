"""Scores that no classifier could give: what is certain without them is judged, and nothing else."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import LabelScores, ModelIdentity, UnavailableError, Verdict
from serve_app.policy import (
    Above,
    AllOf,
    AnyOf,
    AtLeast,
    Concept,
    Condition,
    Not,
    Policy,
    Rule,
    ScoreKind,
    evaluate,
    explain,
    margins_of,
)

MODEL = ModelIdentity("fake + open-nsfw", "0" * 64, image_size_px=8)
CONCEPTS = (
    Concept("nsfw", ScoreKind.CLASSIFIER, model="open-nsfw", output="nsfw"),
    Concept("red", ScoreKind.COSINE, ("a red shape",)),
    Concept("sfw", ScoreKind.CLASSIFIER, model="open-nsfw", output="sfw"),
)
NAMES = [concept.name for concept in CONCEPTS]
NAN = math.nan


def policy_of(*rules: Rule) -> Policy:
    return Policy(name="demo", model="fake", concepts=CONCEPTS, rules=rules)


def scores_of(policy: Policy, *views: dict[str, float]) -> LabelScores:
    """Scores by the name of their concept; those that are not given are zero."""
    columns = {label: concept.name for concept in CONCEPTS for label in concept.labels}
    rows = [[view.get(columns[label], 0.0) for label in policy.labels] for view in views]
    return LabelScores(np.array(rows, np.float32), 10.0, MODEL)


NSFW, RED = Above("nsfw", 0.5), Above("red", 0.5)


@pytest.mark.parametrize(
    ("condition", "red", "margin"),
    [
        (NSFW, 0.0, None),
        (Not(NSFW), 0.0, None),
        (AllOf((NSFW, RED)), 0.25, -0.25),  # false, whatever the other one is
        (AllOf((NSFW, RED)), 0.75, None),
        (Not(AllOf((NSFW, RED))), 0.25, 0.25),
        (AnyOf((NSFW, RED)), 0.75, 0.25),
        (AnyOf((NSFW, RED)), 0.25, None),
        (AtLeast(2, (NSFW, Not(NSFW), RED)), 0.25, None),
    ],
)
def test_logic_with_three_values(condition: Condition, red: float, margin: float | None) -> None:
    policy = policy_of(Rule("r", Verdict.REJECT, condition))
    judgement = evaluate(policy, scores_of(policy, {"nsfw": NAN, "red": red}))
    assert judgement.margin == margin
    assert (judgement.verdict is Verdict.REJECT) == (margin is not None and margin > 0)
    assert judgement.scores == {"nsfw": None, "red": red, "sfw": 0.0}


def test_an_undecided_rule_says_so() -> None:
    policy = policy_of(Rule("nsfw", Verdict.REJECT, NSFW))
    judgement = evaluate(policy, scores_of(policy, {"nsfw": NAN}))
    assert judgement.message == "no rule of demo holds; 'nsfw' is undecided, since a score of it is unknown"
    assert json.loads(json.dumps(judgement.scores, allow_nan=False))["nsfw"] is None


def test_the_views_that_are_known_decide() -> None:
    policy = policy_of(Rule("nsfw", Verdict.REJECT, NSFW))
    held = evaluate(policy, scores_of(policy, {"nsfw": NAN}, {"nsfw": 0.75}, {"nsfw": NAN}))
    assert (held.verdict, held.view, held.margin) == (Verdict.REJECT, 1, 0.25)
    not_held = evaluate(policy, scores_of(policy, {"nsfw": NAN}, {"nsfw": 0.25}))
    assert (not_held.verdict, not_held.view, not_held.margin) == (Verdict.ACCEPT, 1, -0.25)


def test_a_rule_that_is_known_is_closer_than_one_that_is_not() -> None:
    policy = policy_of(Rule("nsfw", Verdict.REJECT, NSFW), Rule("red", Verdict.REJECT, RED))
    judgement = evaluate(policy, scores_of(policy, {"nsfw": NAN}))
    assert (judgement.margin, judgement.message) == (-0.5, "no rule of demo holds; 'red' came closest")


def test_an_explanation_tells_what_is_unknown() -> None:
    policy = policy_of(Rule("r", Verdict.REJECT, AnyOf((NSFW, RED))))
    (rule,) = explain(policy, scores_of(policy, {"nsfw": NAN, "red": 0.25}, {"nsfw": NAN}))
    assert [(each.text, each.margin, each.views) for each in rule.conditions] == [
        ("any of", None, ()),
        ("nsfw above 0.5", None, ()),
        ("red above 0.5", -0.25, ()),
    ]


def test_a_prompt_is_never_unknown() -> None:
    policy = policy_of(Rule("nsfw", Verdict.REJECT, NSFW))
    with pytest.raises(UnavailableError, match="not a finite number"):
        evaluate(policy, scores_of(policy, {"red": NAN}))


@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_an_infinite_output_is_a_failed_model(bad: float) -> None:
    policy = policy_of(Rule("nsfw", Verdict.REJECT, NSFW))
    with pytest.raises(UnavailableError, match="no probability"):
        evaluate(policy, scores_of(policy, {"nsfw": bad}))


STEPS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
ABOVE = st.builds(Above, st.sampled_from(NAMES), STEPS)
CONDITIONS = st.recursive(
    ABOVE,
    lambda inner: st.one_of(
        st.builds(lambda of: AllOf(tuple(of)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda of: AnyOf(tuple(of)), st.lists(inner, min_size=1, max_size=3)),
        st.lists(inner, min_size=1, max_size=3).flatmap(
            lambda of: st.builds(AtLeast, st.integers(1, len(of)), st.just(tuple(of)))
        ),
        st.builds(Not, inner),
    ),
    max_leaves=8,
)
VIEW = st.fixed_dictionaries({"red": STEPS, "nsfw": STEPS | st.just(NAN), "sfw": STEPS | st.just(NAN)})
ANYTHING = st.fixed_dictionaries({"nsfw": STEPS, "sfw": STEPS})


@settings(deadline=None, max_examples=300)
@given(CONDITIONS, VIEW, ANYTHING)
def test_nothing_that_was_certain_is_contradicted_by_what_comes_to_be_known(
    condition: Condition, view: dict[str, float], later: dict[str, float]
) -> None:
    policy = policy_of(Rule("r", Verdict.REJECT, condition))
    known = view | {name: value for name, value in later.items() if math.isnan(view[name])}
    (before,) = margins_of(policy, scores_of(policy, view)).rules["r"]
    (after,) = margins_of(policy, scores_of(policy, known)).rules["r"]
    assert math.isnan(before) or (before > 0) == (after > 0)
    assert not math.isnan(after)
    if not any(map(math.isnan, view.values())):
        assert before == after


@settings(deadline=None)
@given(CONDITIONS, VIEW)
def test_a_condition_and_its_negation_are_unknown_together(condition: Condition, view: dict[str, float]) -> None:
    policy = policy_of(Rule("it", Verdict.REJECT, condition), Rule("not", Verdict.REJECT, Not(condition)))
    margins = margins_of(policy, scores_of(policy, view)).rules
    assert np.isnan(margins["it"]).tolist() == np.isnan(margins["not"]).tolist()
    assert not ((margins["it"] > 0) & (margins["not"] > 0)).any()
