"""Rates of rules on labelled and unlabelled pictures, and two policies on the same ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serve_app.calibration.binomial import interval
from serve_app.calibration.margins import rule_margins
from serve_app.calibration.rates import compare_on, evaluate_on, unknown_names
from serve_app.domain import PolicyError, Verdict
from serve_app.policy import Policy, parse_policy
from tests.unit.calibration.conftest import MakePicture


def test_without_labels_every_rule_that_holds_is_a_false_positive(policy: Policy, picture: MakePicture) -> None:
    pictures = [picture(str(score), score) for score in (0.1, 0.2, 0.6, 0.9)]
    evaluation = evaluate_on(policy, pictures, {})
    refuse, doubt = evaluation.rules
    assert (refuse.rule, refuse.verdict, refuse.detections) == ("refuse", Verdict.REJECT, None)
    assert refuse.false_positives is not None
    assert doubt.false_positives is not None
    assert (refuse.false_positives.hits, refuse.false_positives.trials) == (1, 4)
    assert (refuse.false_positives.low, refuse.false_positives.high) == interval(1, 4)
    assert doubt.false_positives.share == 0.5
    assert evaluation.refused is not None
    assert evaluation.flagged is not None
    assert (evaluation.refused.hits, evaluation.flagged.hits) == (1, 1)


def test_labels_say_for_which_rules_a_picture_is_meant(policy: Policy, picture: MakePicture) -> None:
    pictures = [picture(str(score), score) for score in (0.1, 0.6, 0.7, 0.9)]
    expected = {"0.9": frozenset({"refuse", "doubt"}), "0.7": frozenset({"refuse", "doubt"})}
    evaluation = evaluate_on(policy, pictures, expected)
    refuse, doubt = evaluation.rules
    assert refuse.detections is not None
    assert refuse.false_positives is not None
    assert (refuse.detections.hits, refuse.detections.trials) == (1, 2)
    assert (refuse.false_positives.hits, refuse.false_positives.trials) == (0, 2)
    assert doubt.detections is not None
    assert doubt.detections.hits == 2
    assert unknown_names({**expected, "gone": frozenset()}, pictures) == ["gone"]


def test_the_worst_view_of_a_picture_decides(policy: Policy, picture: MakePicture) -> None:
    margins = rule_margins(policy, [picture("a", [[0.1], [0.9], [0.2]])])
    assert margins["refuse"][0] == pytest.approx(0.1)


def test_an_unknown_score_can_never_be_over_a_line(policy: Policy, picture: MakePicture) -> None:
    margins = rule_margins(policy, [picture("a", [[np.nan]]), picture("b", [[np.nan], [0.9]])])
    assert margins["refuse"][0] == -np.inf
    assert margins["refuse"][1] == pytest.approx(0.1)


def test_what_a_database_has_rounded_counts_as_over_the_line_if_it_may_have_been(
    policy: Policy, picture: MakePicture
) -> None:
    rounded = float(np.float16(0.7998))
    assert rule_margins(policy, [picture("a", rounded)])["refuse"][0] < 0
    assert rule_margins(policy, [picture("a", rounded)], with_rounding=True)["refuse"][0] > 0
    exact = picture("a", 0.7998001)
    np.testing.assert_array_equal(
        rule_margins(policy, [exact])["refuse"], rule_margins(policy, [exact], with_rounding=True)["refuse"]
    )


def test_the_rounding_of_a_concept_counts_for_the_rules_that_are_made_of_it_alone(picture: MakePicture) -> None:
    policy = parse_policy(
        """\
policy: both
model: open-nsfw
concepts:
  red: {score: cosine, prompts: [red]}
  drawn: {score: contrast, prompts: [drawing], counter_prompts: [photo]}
rules:
  - {name: red, verdict: reject, when: {concept: red, above: 0.2}}
  - {name: drawn, verdict: flag, when: {concept: drawn, above: 0.6}}
""",
        "both.yaml",
    )
    assert policy.labels == ("drawing", "photo", "red")
    one = picture("a", [[0.25, 0.25, 0.125]])
    one = replace(one, scores=replace(one.scores, logit_scale=100.0))
    exact, rounded = (rule_margins(policy, [one], with_rounding=way) for way in (False, True))
    assert rounded["red"][0] - exact["red"][0] == pytest.approx(0.125 * 2**-11)
    assert rounded["drawn"][0] - exact["drawn"][0] == pytest.approx(50 * 0.25 * 2**-11)


def test_scores_of_another_model_are_refused(policy: Policy, picture: MakePicture) -> None:
    one = picture("a", 0.5)
    stranger = replace(one, scores=replace(one.scores, model=replace(one.scores.model, name="other")))
    with pytest.raises(PolicyError, match="is for the model 'open-nsfw'"):
        rule_margins(policy, [stranger])


def test_two_policies_are_compared_by_what_they_refuse(policy: Policy, picture: MakePicture) -> None:
    stricter = parse_policy(
        """\
policy: stricter
concepts: {sexual: {score: classifier, model: open-nsfw, output: nsfw}}
rules: [{name: refuse, verdict: reject, when: {concept: sexual, above: 0.3}}]
""",
        "stricter.yaml",
    )
    pictures = [picture(str(score), score) for score in (0.1, 0.4, 0.5, 0.9, 0.95)]
    compared = compare_on((policy, pictures), (stricter, pictures), {"0.95": frozenset({"refuse"})})
    ordinary = compared.ordinary
    assert (ordinary.both, ordinary.only_first, ordinary.only_second, ordinary.neither) == (1, 0, 2, 1)
    assert ordinary.p == 0.5
    assert (compared.labelled.both, compared.labelled.p) == (1, 1.0)
    with pytest.raises(ValueError, match="the same pictures"):
        compare_on((policy, pictures), (stricter, pictures[1:]), {})
