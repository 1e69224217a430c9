"""The evaluation against a naive reference, and the properties that a moderator relies on."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serve_app.domain import Judgement, LabelScores, ModelIdentity, UnavailableError, Verdict
from serve_app.policy import (
    Above,
    AllOf,
    AnyOf,
    AtLeast,
    Concept,
    Condition,
    Named,
    NamedCondition,
    Not,
    Policy,
    Rule,
    ScoreKind,
    concept_scores,
    evaluate,
)

MODEL = ModelIdentity("fake", "0" * 64, image_size_px=8)
CONCEPTS = (
    Concept("red", ScoreKind.COSINE, ("a red shape",)),
    Concept("round", ScoreKind.COSINE, ("a disc", "a ring")),
    Concept("drawn", ScoreKind.CONTRAST, ("a drawing", "a sketch"), ("a photograph", "a ring")),
    Concept("flat", ScoreKind.MARGIN, ("a disc", "discs", "a ring"), thresholds=((0.25, 0.5), (0.125,))),
)
PROMPTS = {"red": 1, "round": 2, "drawn": 1, "flat": 2}
NAMES = [concept.name for concept in CONCEPTS]
THRESHOLDS = st.sampled_from([-0.5, 0.0, 0.125, 0.25, 0.5, 0.75])  # few and exact, so that ties do happen
COSINES = st.sampled_from([-1.0, -0.5, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0])

# A fixed seed and no time limit: a shared machine must not make a test fail.
quick = settings(max_examples=60, deadline=None, derandomize=True)


def conditions(*names: str) -> st.SearchStrategy[Condition]:
    def nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        parts = st.lists(inner, min_size=1, max_size=4).map(tuple)
        at_least = parts.flatmap(lambda of: st.integers(1, len(of)).map(lambda count: AtLeast(count, of)))
        return parts.map(AllOf) | parts.map(AnyOf) | at_least | inner.map(Not)

    def above(concept: str) -> st.SearchStrategy[Condition]:
        return st.builds(Above, st.just(concept), THRESHOLDS, st.integers(1, PROMPTS[concept]))

    named = [st.just(Named(each)) for each in names]
    leaves: st.SearchStrategy[Condition] = st.one_of(st.sampled_from(NAMES).flatmap(above), *named)
    return st.recursive(leaves, nested, max_leaves=8)


def policies() -> st.SearchStrategy[Policy]:
    verdicts = st.sampled_from([Verdict.REJECT, Verdict.FLAG])
    whens = st.lists(st.tuples(verdicts, conditions("one", "two")), min_size=1, max_size=4)
    return st.builds(
        lambda pairs, one, two: policy_of(
            *(Rule(f"rule-{i}", verdict, when) for i, (verdict, when) in enumerate(pairs)),
            conditions=(NamedCondition("one", one), NamedCondition("two", two)),
        ),
        whens,
        conditions(),
        conditions("one"),
    )


def views(columns: int = 7) -> st.SearchStrategy[list[list[float]]]:
    return st.lists(st.lists(COSINES, min_size=columns, max_size=columns), min_size=1, max_size=5)


def policy_of(
    *rules: Rule,
    concepts: tuple[Concept, ...] = CONCEPTS,
    conditions: tuple[NamedCondition, ...] = (),
    cosine_decimals: int | None = None,
) -> Policy:
    return Policy(
        name="demo",
        model="fake",
        concepts=concepts,
        conditions=conditions,
        rules=rules,
        cosine_decimals=cosine_decimals,
    )


def label_scores(cosines: list[list[float]], logit_scale: float = 10.0) -> LabelScores:
    return LabelScores(np.array(cosines, dtype=np.float32), logit_scale, MODEL)


Scores = dict[str, list[float]]
"""Of one view: for each concept the scores of its prompts, largest first."""


def naive_scores(policy: Policy, row: NDArray[np.float32], logit_scale: float) -> Scores:
    """One view at a time, with no numerical care: exact enough for the small logits of these tests."""
    cosine = {label: float(value) for label, value in zip(policy.labels, row, strict=True)}
    scores: Scores = {}
    for concept in policy.concepts:
        own = [cosine[prompt] for prompt in concept.prompts]
        others = [cosine[prompt] for prompt in concept.counter_prompts]
        if concept.score is ScoreKind.COSINE:
            scores[concept.name] = sorted(own, reverse=True)
        elif concept.score is ScoreKind.MARGIN:
            left = iter(own)
            best = [max(next(left) - threshold for threshold in wordings) for wordings in concept.thresholds]
            scores[concept.name] = sorted(best, reverse=True)
        else:
            mass = [math.exp(logit_scale * value) for value in own + others]
            scores[concept.name] = [sum(mass[: len(own)]) / sum(mass)]
    return scores


def holds(condition: Condition, scores: Scores, policy: Policy) -> bool:
    match condition:
        case Above(concept, threshold, count):
            return sum(score > threshold for score in scores[concept]) >= count
        case AllOf(of):
            return all(holds(part, scores, policy) for part in of)
        case AnyOf(of):
            return any(holds(part, scores, policy) for part in of)
        case AtLeast(count, of):
            return sum(holds(part, scores, policy) for part in of) >= count
        case Not(of):
            return not holds(of, scores, policy)
        case Named(name):
            return holds(next(each.when for each in policy.conditions if each.name == name), scores, policy)


def naive_judgement(policy: Policy, per_view: list[Scores]) -> tuple[Verdict, str | None]:
    holding = [rule for rule in policy.rules if any(holds(rule.when, scores, policy) for scores in per_view)]
    worst = max((rule.verdict.severity for rule in holding), default=0)
    deciding = next((rule for rule in holding if rule.verdict.severity == worst), None)
    return (deciding.verdict, deciding.name) if deciding is not None else (Verdict.ACCEPT, None)


@quick
@given(policies(), views())
def test_the_judgement_is_that_of_the_naive_reference(policy: Policy, cosines: list[list[float]]) -> None:
    given_scores = label_scores(cosines)
    vectorised = concept_scores(policy, given_scores)
    per_view = [naive_scores(policy, row, given_scores.logit_scale) for row in given_scores.values]
    for scores, row in zip(per_view, vectorised, strict=True):
        scores["drawn"] = [float(row[NAMES.index("drawn")])]  # the naive one differs in its last bits

    judgement = evaluate(policy, given_scores)

    assert (judgement.verdict, judgement.rule) == naive_judgement(policy, per_view)
    assert judgement.scores == {name: scores[0] for name, scores in per_view[judgement.view].items()}
    assert judgement.margin is not None
    assert (judgement.margin > 0) == (judgement.verdict is not Verdict.ACCEPT)
    if judgement.rule is not None:
        deciding = next(rule for rule in policy.rules if rule.name == judgement.rule)
        assert holds(deciding.when, per_view[judgement.view], policy)


@quick
@given(views(), st.floats(0.1, 20.0))
def test_concept_scores_are_those_of_the_naive_reference(cosines: list[list[float]], logit_scale: float) -> None:
    policy = policy_of(Rule("r", Verdict.REJECT, Above("red", 0.0)))
    given_scores = label_scores(cosines, logit_scale)
    rows = given_scores.values
    naive = [[scores[0] for scores in naive_scores(policy, row, logit_scale).values()] for row in rows]
    np.testing.assert_allclose(concept_scores(policy, given_scores), naive, rtol=1e-9, atol=1e-12)


@quick
@given(policies(), views(), views())
def test_more_views_are_never_judged_milder(policy: Policy, some: list[list[float]], more: list[list[float]]) -> None:
    few, many = evaluate(policy, label_scores(some)), evaluate(policy, label_scores(some + more))
    assert many.verdict.severity >= few.verdict.severity


@quick
@given(policies(), views(), st.randoms(use_true_random=False))
def test_the_order_of_views_does_not_matter(
    policy: Policy, cosines: list[list[float]], shuffler: random.Random
) -> None:
    shuffled = list(cosines)
    shuffler.shuffle(shuffled)
    before, after = evaluate(policy, label_scores(cosines)), evaluate(policy, label_scores(shuffled))
    assert (after.verdict, after.rule, after.message, after.margin) == (
        before.verdict,
        before.rule,
        before.message,
        before.margin,
    )


@quick
@given(st.lists(st.floats(-1, 1, width=32), min_size=7, max_size=7), st.floats(1e-3, 1e6))
def test_a_contrast_score_is_a_probability_at_every_temperature(row: list[float], logit_scale: float) -> None:
    policy = policy_of(Rule("r", Verdict.REJECT, Above("red", 0.0)))
    score = concept_scores(policy, label_scores([row], logit_scale))[0, NAMES.index("drawn")]
    assert 0.0 <= score <= 1.0


@quick
@given(views())
def test_a_view_scores_the_same_alone_and_in_company(cosines: list[list[float]]) -> None:
    policy = policy_of(Rule("r", Verdict.REJECT, Above("red", 0.0)))
    together = concept_scores(policy, label_scores(cosines))
    alone = [concept_scores(policy, label_scores([row]))[0] for row in cosines]
    np.testing.assert_array_equal(together, np.stack(alone))


RED_ONLY = (Concept("red", ScoreKind.COSINE, ("a red shape",)),)


def judge_red(*reds: float, rules: tuple[Rule, ...]) -> Judgement:
    """The judgement on views that have these cosines with "a red shape"."""
    return evaluate(policy_of(*rules, concepts=RED_ONLY), label_scores([[red] for red in reds]))


def reject_above(threshold: float, name: str = "red", message: str | None = None) -> Rule:
    return Rule(name, Verdict.REJECT, Above("red", threshold), message)


def flag_above(threshold: float, name: str = "reddish") -> Rule:
    return Rule(name, Verdict.FLAG, Above("red", threshold))


def test_above_is_strict() -> None:
    at_the_line = judge_red(0.25, rules=(reject_above(0.25),))
    assert (at_the_line.verdict, at_the_line.margin) == (Verdict.ACCEPT, 0.0)


def test_the_worst_view_decides_and_is_named() -> None:
    judgement = judge_red(0.0, 0.5, 0.75, 0.75, rules=(reject_above(0.25, message="no red"),))
    assert judgement == Judgement(Verdict.REJECT, "red", "no red", view=2, scores={"red": 0.75}, margin=0.5)


def test_a_milder_rule_does_not_hide_a_severe_one() -> None:
    assert judge_red(0.5, rules=(flag_above(0.0), reject_above(0.25))).rule == "red"


def test_of_equally_severe_rules_the_first_decides() -> None:
    judgement = judge_red(0.5, rules=(reject_above(0.25, "first"), reject_above(0.0, "second")))
    assert (judgement.rule, judgement.margin) == ("first", 0.25)


def test_a_flag_keeps_the_picture() -> None:
    judgement = judge_red(0.5, rules=(reject_above(0.75), flag_above(0.25)))
    assert (judgement.verdict, judgement.rule, judgement.verdict.keeps_picture) == (Verdict.FLAG, "reddish", True)


def test_an_accepted_picture_tells_how_close_the_most_severe_rules_came() -> None:
    rules = (flag_above(0.625), reject_above(1.0, "far"), reject_above(0.75, "near"))
    judgement = judge_red(0.0, 0.5, 0.25, rules=rules)
    assert (judgement.verdict, judgement.rule, judgement.view, judgement.margin) == (Verdict.ACCEPT, None, 1, -0.25)
    assert judgement.message == "no rule of demo holds; 'near' came closest"


def test_a_conjunction_must_hold_on_one_view() -> None:
    both = Rule("both", Verdict.REJECT, AllOf((Above("red", 0.5), Above("round", 0.5))))
    policy = policy_of(both, concepts=CONCEPTS[:2])
    columns = [policy.labels.index("a red shape"), policy.labels.index("a disc")]
    cosines = np.zeros((2, 3), dtype=np.float32)
    cosines[[0, 1], columns] = 0.75
    apart = evaluate(policy, LabelScores(cosines, 10.0, MODEL))
    together = evaluate(policy, LabelScores(cosines.max(axis=0, keepdims=True), 10.0, MODEL))
    assert (apart.verdict, together.verdict) == (Verdict.ACCEPT, Verdict.REJECT)


def test_a_judgement_is_made_of_plain_values() -> None:
    judgement = judge_red(0.5, rules=(reject_above(0.25),))
    plain = (type(judgement.view), type(judgement.margin), {type(score) for score in judgement.scores.values()})
    assert plain == (int, float, {float})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_model_that_returns_no_number_did_not_look(bad: float) -> None:
    with pytest.raises(UnavailableError, match="not a finite number"):
        judge_red(0.0, bad, rules=(reject_above(0.25),))


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_a_model_without_a_temperature_did_not_look(bad: float) -> None:
    policy = policy_of(reject_above(0.25), concepts=RED_ONLY)
    with pytest.raises(UnavailableError, match="logit scale"):
        evaluate(policy, label_scores([[0.5]], logit_scale=bad))


@pytest.mark.parametrize("shape", [(1, 2), (1, 0), (1,), (1, 1, 1), (0, 1)])
def test_cosines_of_another_shape_are_a_mistake_of_the_caller(shape: tuple[int, ...]) -> None:
    policy = policy_of(reject_above(0.25), concepts=RED_ONLY)
    with pytest.raises(ValueError, match=r"label scores have the shape|no view"):
        evaluate(policy, LabelScores(np.zeros(shape, dtype=np.float32), 10.0, MODEL))


@quick
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20), st.integers(1, 7))
def test_cosines_are_rounded_as_python_rounds_them(reds: list[float], decimals: int) -> None:
    policy = policy_of(reject_above(0.25), concepts=RED_ONLY, cosine_decimals=decimals)
    scores = concept_scores(policy, label_scores([[red] for red in reds]))[:, 0]
    assert [float(score) for score in scores] == [round(red, decimals) for red in reds]


def test_a_rounded_cosine_is_compared_strictly() -> None:
    policy = policy_of(reject_above(0.202), concepts=RED_ONLY, cosine_decimals=4)
    at_the_line, above = (evaluate(policy, label_scores([[red]])) for red in (0.20204, 0.20206))
    assert (at_the_line.verdict, at_the_line.margin) == (Verdict.ACCEPT, 0.0)
    assert above.verdict is Verdict.REJECT


def test_a_negation_holds_exactly_on_the_line() -> None:
    policy = policy_of(Rule("pale", Verdict.REJECT, Not(Above("red", 0.25))), concepts=RED_ONLY)
    verdicts = [evaluate(policy, label_scores([[red]])).verdict for red in (0.0, 0.25, 0.5)]
    assert verdicts == [Verdict.REJECT, Verdict.REJECT, Verdict.ACCEPT]


def test_wordings_of_one_prompt_count_once() -> None:
    concept = Concept("flat", ScoreKind.MARGIN, ("disc", "discs", "ring"), thresholds=((0.25, 0.25), (0.25,)))
    policy = policy_of(Rule("two", Verdict.REJECT, Above("flat", 0.0, count=2)), concepts=(concept,))
    one_thing, two_things = (evaluate(policy, label_scores([row])) for row in ([0.5, 0.5, 0.25], [0.5, 0.25, 0.5]))
    assert (one_thing.verdict, one_thing.scores, one_thing.margin) == (Verdict.ACCEPT, {"flat": 0.25}, 0.0)
    assert (two_things.verdict, two_things.margin) == (Verdict.REJECT, 0.25)
