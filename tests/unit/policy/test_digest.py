"""The digest follows the meaning of a policy: it is half of the key under which earlier decisions are found."""

from __future__ import annotations

import pickle

import pytest

from serve_app.policy import Policy, parse_policy

PLAIN = """\
policy: demo
model: demo-shapes
model_digest: 3f2a3f2a3f2a
concepts:
  red: {score: contrast, prompts: [a red shape, a scarlet shape], counter_prompts: [a blue shape]}
  blue: {score: cosine, prompts: [a blue shape]}
rules:
  - {name: one, verdict: reject, message: sorry, when: {all: [{concept: red, above: 0.5}, {concept: blue, above: 0.2}]}}
  - {name: two, verdict: flag, when: {at_least: {count: 1, of: [{concept: red, above: 0.4}]}}}
"""

SAME_MEANING = """\
# another layout, other comments, other key orders, another way to write numbers and texts
rules:
- when:
    all:
    - above: .50
      concept: red
    - {above: 2e-1, concept: "blue"}
  verdict: reject
  message: 'sorry'
  name: one
- name: two
  verdict: flag
  when: {at_least: {of: [{concept: red, above: 0.40}], count: 1}}
description: that nobody evaluates
concepts:
  blue:
    prompts:
    - a blue shape     # why this prompt
    score: cosine
  red:
    counter_prompts: ["a blue shape"]
    prompts: [a red shape, "a scarlet shape"]
    score: contrast
model_digest: 3F2A3F2A3F2A
model: demo-shapes
policy: demo
"""


def parse(text: str) -> Policy:
    return parse_policy(text, "p.yaml")


def test_layout_comments_key_order_and_description_do_not_count() -> None:
    assert parse(SAME_MEANING).digest == parse(PLAIN).digest


def test_policies_of_one_digest_have_the_same_columns() -> None:
    assert parse(SAME_MEANING).labels == parse(PLAIN).labels


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("policy: demo", "policy: demo2"),
        ("model: demo-shapes", "model: demo-shapes2"),
        ("model_digest: 3f2a3f2a3f2a\n", ""),
        ("above: 0.5}", "above: 0.50000001}"),
        ("above: 0.4}", "above: 0.41}"),
        ("a scarlet shape", "a crimson shape"),
        ("counter_prompts: [a blue shape]", "counter_prompts: [a blue shape, a green shape]"),
        ("score: cosine, prompts: [a blue shape]", "score: contrast, prompts: [a blue shape], counter_prompts: [x]"),
        ("verdict: reject", "verdict: flag"),
        ("message: sorry", "message: Sorry"),
        ("message: sorry, ", ""),
        ("when: {all:", "when: {any:"),
        ("name: two", "name: three"),
    ],
)
def test_whatever_can_change_a_judgement_changes_the_digest(old: str, new: str) -> None:
    assert PLAIN.count(old) == 1
    assert parse(PLAIN.replace(old, new)).digest != parse(PLAIN).digest


RICH = """\
policy: demo
model: demo-shapes
cosine_decimals: 4
concepts:
  flat: {score: margin, prompts: [{a disc: 0.25, discs: 0.26}, {a ring: 0.125}]}
conditions:
  is_flat: {concept: flat, above: 0, count: 2}
  is_solid: {not: {condition: is_flat}}
rules:
  - {name: solid, verdict: reject, when: {condition: is_solid}}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cosine_decimals: 4", "cosine_decimals: 3"),
        ("cosine_decimals: 4\n", ""),
        ("a disc: 0.25", "a disc: 0.24"),
        (", discs: 0.26}, {", "}, {discs: 0.26}, {"),
        ("above: 0, count: 2}", "above: 0}"),
        ("{not: {condition: is_flat}}", "{condition: is_flat}"),
        ("when: {condition: is_solid}", "when: {condition: is_flat}"),
    ],
)
def test_whatever_can_change_a_judgement_of_a_rich_policy_changes_its_digest(old: str, new: str) -> None:
    assert RICH.count(old) == 1
    assert parse(RICH.replace(old, new)).digest != parse(RICH).digest


CLASSIFIED = """\
policy: demo
concepts:
  nsfw: {score: classifier, model: open-nsfw, output: nsfw}
rules:
  - {name: nsfw, verdict: reject, when: {concept: nsfw, above: 0.8}}
"""


def test_a_rule_that_is_off_is_no_part_of_the_policy() -> None:
    last = PLAIN.splitlines(keepends=True)[-1]
    off = PLAIN.replace("name: two, verdict: flag", "name: two, verdict: off")
    assert parse(off).digest == parse(PLAIN.replace(last, "")).digest


def test_the_order_of_rules_counts() -> None:
    head, first, second = PLAIN.rpartition("rules:\n")[0] + "rules:\n", *PLAIN.splitlines(keepends=True)[-2:]
    assert parse(head + second + first).digest != parse(PLAIN).digest


def test_the_digest_is_the_same_for_ever() -> None:
    # A changed value here means that every earlier decision is evaluated again: raise DIGEST_SCHEMA, and say so.
    assert parse(PLAIN).digest == "91a2ca35fbc20cd9216d1cb6c585155d470877d8f702a73163ad67e4a27b0325"
    assert parse(CLASSIFIED).digest == "3988f3b0162e664005da3f635cdfc0a32d2d599d95ea8e12ede6d088d3841cdd"
    assert parse(RICH).digest == "9e5909f6f6dd1c31d7b0bf48993e9800f617234888d0f1d77ff1828c592339e6"


def test_the_output_of_a_classifier_counts() -> None:
    assert parse(CLASSIFIED.replace("output: nsfw", "output: sfw")).digest != parse(CLASSIFIED).digest


@pytest.mark.parametrize("text", [PLAIN, CLASSIFIED])
def test_a_policy_survives_pickling(text: str) -> None:
    policy = parse(text)
    again = pickle.loads(pickle.dumps(policy))
    assert (again, again.labels, again.digest) == (policy, policy.labels, policy.digest)
