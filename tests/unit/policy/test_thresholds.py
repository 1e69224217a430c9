"""A policy's file with other thresholds: one margin moves a rule one way only, and the rest of the file stays."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import LabelScores, ModelIdentity, PolicyError
from serve_app.policy import PolicyText, margins_of, parse_policy, shipped_text
from tests.unit.policy.written_policies import LABELS, written_policies

MODEL = ModelIdentity("fake", "0" * 64, image_size_px=8)
quick = settings(max_examples=60, deadline=None, derandomize=True)

COSINES = st.sampled_from([-1.0, -0.5, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0])
MARGINS = st.sampled_from([-0.5, -0.125, 0.0, 0.0625, 0.25, 1.0]).map(Decimal)


def moved(policy: PolicyText, by: Decimal) -> PolicyText:
    return PolicyText(policy.with_margins({rule.name: by for rule in policy.policy.rules}), "moved.yaml")


def rule_margins(policy: PolicyText, values: list[list[float]]) -> dict[str, Any]:
    scores = LabelScores(np.array(values, dtype=np.float32), 10.0, MODEL)
    return dict(margins_of(policy.policy, scores).rules)


VIEWS = st.lists(st.lists(COSINES, min_size=LABELS, max_size=LABELS), min_size=1, max_size=4)


@quick
@given(written_policies(), VIEWS, MARGINS, MARGINS)
def test_a_larger_margin_never_makes_a_rule_hold_on_one_more_view(
    policy: PolicyText, values: list[list[float]], one: Decimal, other: Decimal
) -> None:
    less, more = sorted([one, other])
    before, after = rule_margins(moved(policy, less), values), rule_margins(moved(policy, more), values)
    for rule, margins in after.items():
        # Where a threshold stops at the lowest score there is, a negation exactly on its line may stay as it was.
        assert not ((margins > 0) & ~(before[rule] > 0)).any(), rule


@quick
@given(written_policies(), VIEWS, st.sampled_from([-0.0625, 0.03125, 0.0625]).map(Decimal))
def test_a_rules_own_margin_falls_by_as_much_as_its_thresholds_move(
    policy: PolicyText, values: list[list[float]], by: Decimal
) -> None:
    text = policy.with_margins({rule.name: by for rule in policy.policy.rules})
    before, after = rule_margins(policy, values), rule_margins(PolicyText(text, "moved.yaml"), values)
    if any(threshold in (Decimal(0), Decimal(1)) for threshold in thresholds_of(text)):
        return  # one of them stopped at the end of the scores that there are
    for rule, margins in after.items():
        np.testing.assert_allclose(margins, before[rule] - float(by), atol=1e-12)


def thresholds_of(text: str) -> list[Decimal]:
    def below(value: Any) -> list[Decimal]:
        if isinstance(value, dict):
            own = [Decimal(str(value["above"]))] if "above" in value else []
            return own + [each for inner in value.values() for each in below(inner)]
        return [each for inner in value for each in below(inner)] if isinstance(value, list) else []

    found = json.loads(text)
    return below([found["rules"], found["conditions"]])


@pytest.mark.parametrize("name", ["csam", "demo-red-triangle"])
def test_only_the_numbers_of_a_policy_that_ships_change(name: str) -> None:
    text = shipped_text(name)
    policy = PolicyText(text, name)
    by = {rule.name: Decimal("0.012345") for rule in policy.policy.rules}
    changed = [
        (old, new)
        for old, new in zip(text.splitlines(), policy.with_margins(by).splitlines(), strict=True)
        if old != new
    ]
    assert len(changed) == 2
    for old, new in changed:
        assert new in (old.replace("0.5}", "0.512345}"), old.replace("0.3}", "0.312345}"))
    assert policy.with_margins(dict.fromkeys(by, Decimal(0))) == text


HEAD = """\
policy: colours
model: fake
concepts:
  red: {score: cosine, prompts: [red]}
  blue: {score: contrast, prompts: [blue], counter_prompts: [grey]}
"""


def test_negated_thresholds_fall_and_rules_that_are_off_stay() -> None:
    text = HEAD + (
        "rules:\r\n"
        "  - {name: a, verdict: flag, when: {any: [{concept: red, above: .2},\r\n"
        "      {not: {concept: blue, above: 5e-1}}]}}\r\n"
        "  - {name: b, verdict: off, when: {concept: red, above: 0.9}} # stays\r\n"
    )
    assert PolicyText(text, "p.yaml").with_margins({"a": Decimal("0.1")}) == text.replace(".2}", "0.3}").replace(
        "5e-1", "0.4"
    )


def test_rules_that_share_a_named_condition_move_together() -> None:
    text = HEAD + (
        "conditions:\n"
        "  is_red: {concept: red, above: 0.2}\n"
        "rules:\n"
        "  - {name: a, verdict: reject, when: {all: [{condition: is_red}, {concept: blue, above: 0.5}]}}\n"
        "  - {name: b, verdict: reject, when: {concept: blue, above: 0.7}}\n"
        "  - {name: c, verdict: flag, when: {any: [{condition: is_red}, {concept: blue, above: 0.9}]}}\n"
    )
    policy = PolicyText(text, "p.yaml")
    assert sorted(map(sorted, policy.groups)) == [["a", "c"], ["b"]]
    by = {"a": Decimal("0.05"), "b": Decimal("-0.2"), "c": Decimal("0.05")}
    new = policy.with_margins(by)
    assert [line.rpartition("above: ")[2][:4] for line in new.splitlines() if "above" in line] == [
        "0.25",
        "0.55",
        "0.5}",
        "0.95",
    ]


def test_a_threshold_that_would_have_to_move_both_ways_is_told_with_its_place() -> None:
    text = HEAD + (
        "conditions:\n"
        "  is_red: {concept: red, above: 0.2}\n"
        "rules:\n"
        "  - {name: a, verdict: reject, when: {condition: is_red}}\n"
        "  - {name: b, verdict: flag, when: {not: {condition: is_red}}}\n"
    )
    with pytest.raises(PolicyError) as caught:
        PolicyText(text, "p.yaml")
    assert str(caught.value).startswith("p.yaml:7:33: error: rule 'b' needs this threshold higher, and through")


def test_thresholds_stop_at_the_ends_of_their_scores_and_it_is_told_which_conditions_are_lost() -> None:
    text = HEAD + (
        "rules:\n"
        "  - name: a\n"
        "    verdict: reject\n"
        "    when:\n"
        "      any:\n"
        "        - {concept: blue, above: 0.95}\n"
        "        - {concept: red, above: 0.2}\n"
    )
    policy = PolicyText(text, "p.yaml")
    assert "{concept: blue, above: 1}" in policy.with_margins({"a": Decimal("0.1")})
    assert policy.lost("a", Decimal("0.1")) == [11]
    assert policy.lost("a", Decimal("0.04")) == []
    assert "{concept: blue, above: 0}" in policy.with_margins({"a": Decimal(-1)})
    assert parse_policy(policy.with_margins({"a": Decimal(-1)}), "p.yaml").rules[0].name == "a"
