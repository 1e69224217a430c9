"""The explanation of a policy: every condition of every rule, with its margins."""

from __future__ import annotations

import numpy as np

from serve_app.domain import LabelScores, ModelIdentity, Verdict
from serve_app.policy import evaluate, explain, parse_policy

POLICY = parse_policy(
    """\
policy: demo
model: fake
concepts:
  flat: {score: margin, prompts: [{disc: 0.25, discs: 0.25}, {ring: 0.25}]}
  red: {score: cosine, prompts: [red]}
conditions:
  is_flat: {concept: flat, above: 0, count: 2}
rules:
  - name: red-and-flat
    verdict: reject
    when:
      all:
        - {concept: red, above: 0.5}
        - at_least: {count: 1, of: [{condition: is_flat}, {any: [{condition: is_flat}]}]}
  - {name: pale, verdict: flag, when: {not: {concept: red, above: 0.5}}}
""",
    "p.yaml",
)
COSINES = {"red": [0.75, 0.25], "disc": [0.25, 0.5], "discs": [0.5, 0.25], "ring": [0.0, 0.5]}
SCORES = LabelScores(
    np.array([COSINES[label] for label in POLICY.labels], dtype=np.float32).T, 10.0, ModelIdentity("fake", "0" * 64, 8)
)


def test_every_condition_is_told_once_with_its_margins() -> None:
    flat, pale = explain(POLICY, SCORES)
    assert [(each.depth, each.text, each.margins.tolist()) for each in flat.conditions] == [
        (0, "all of", [-0.25, -0.25]),
        (1, "red above 0.5", [0.25, -0.25]),
        (1, "at least 1 of", [-0.25, 0.25]),
        (2, "is_flat", [-0.25, 0.25]),
        (3, "flat above 0 with 2 prompts", [-0.25, 0.25]),
        (2, "any of", [-0.25, 0.25]),
        (3, "is_flat", [-0.25, 0.25]),
    ]
    assert [(each.text, each.views, each.closest_view, each.margin) for each in pale.conditions] == [
        ("not", (1,), 1, 0.25),
        ("red above 0.5", (0,), 0, 0.25),
    ]


def test_a_rule_holds_as_the_judgement_says() -> None:
    flat, pale = explain(POLICY, SCORES)
    assert (flat.name, flat.verdict, flat.holds) == ("red-and-flat", Verdict.REJECT, False)
    assert (pale.name, pale.verdict, pale.holds) == ("pale", Verdict.FLAG, True)
    assert evaluate(POLICY, SCORES).rule == "pale"
