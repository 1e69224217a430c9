"""The policy that a good file becomes, and the parts of YAML that are read and refused."""

from __future__ import annotations

import re

import pytest

from serve_app.domain import ModelIdentity, PolicyError, Verdict
from serve_app.policy import Above, AllOf, AnyOf, AtLeast, Concept, Policy, ScoreKind, parse_policy

RED_TRIANGLE = """\
policy: demo-red-triangle
description: |
  Rejects red triangles.
  Nothing else.
model: demo-shapes
model_digest: 3F2A3F2A3F2A
concepts:
  red:
    score: contrast
    prompts: ["a red shape"]
    counter_prompts: ["a blue shape", "a photograph with no shape"]
  triangle:
    score: cosine
    prompts: ["a triangle", "a blue shape"]
rules:
  - name: red-triangle
    verdict: reject
    message: "no red triangles here"
    when:
      all:
        - {concept: red, above: 0.5}
        - any:
            - {concept: triangle, above: -0.25}
            - at_least: {count: 2, of: [{concept: red, above: 1e-1}, {concept: triangle, above: .5}]}
  - {name: red, verdict: flag, when: {concept: red, above: 1}}
"""


def with_line(old: str, new: str) -> Policy:
    assert old in RED_TRIANGLE
    return parse_policy(RED_TRIANGLE.replace(old, new), "p.yaml")


def test_every_part_of_the_file_arrives() -> None:
    policy = parse_policy(RED_TRIANGLE, "p.yaml")

    assert (policy.name, policy.model, policy.model_digest) == ("demo-red-triangle", "demo-shapes", "3f2a3f2a3f2a")
    assert policy.description == "Rejects red triangles.\nNothing else."
    assert policy.concepts == (
        Concept("red", ScoreKind.CONTRAST, ("a red shape",), ("a blue shape", "a photograph with no shape")),
        Concept("triangle", ScoreKind.COSINE, ("a triangle", "a blue shape")),
    )
    first, second = policy.rules
    assert (first.name, first.verdict, first.message) == ("red-triangle", Verdict.REJECT, "no red triangles here")
    at_least = AtLeast(2, (Above("red", 0.1), Above("triangle", 0.5)))
    assert first.when == AllOf((Above("red", 0.5), AnyOf((Above("triangle", -0.25), at_least))))
    assert (second.verdict, second.when, second.message) == (Verdict.FLAG, Above("red", 1.0), None)


def test_a_rule_without_a_message_explains_itself_by_name() -> None:
    with_message, without = parse_policy(RED_TRIANGLE, "p.yaml").rules
    assert with_message.explanation == "no red triangles here"
    assert "'red'" in without.explanation


def test_labels_are_the_distinct_prompts_in_first_seen_order() -> None:
    labels = parse_policy(RED_TRIANGLE, "p.yaml").labels
    assert labels == ("a red shape", "a blue shape", "a photograph with no shape", "a triangle")


def test_a_policy_is_shown_by_name_and_digest() -> None:
    policy = parse_policy(RED_TRIANGLE, "p.yaml")
    assert str(policy) == f"demo-red-triangle@{policy.digest[:12]}"
    assert re.fullmatch("[0-9a-f]{64}", policy.digest)


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    assert parse_policy("\ufeff" + RED_TRIANGLE.replace("\n", "\r\n"), "p.yaml") == parse_policy(RED_TRIANGLE, "p.yaml")


def test_a_name_that_yaml_takes_for_something_else_is_read_as_written() -> None:
    policy = parse_policy(re.sub(r"\bred\b(?=[:,])", "off", RED_TRIANGLE), "p.yaml")
    assert [concept.name for concept in policy.concepts] == ["off", "triangle"]


@pytest.mark.parametrize("digits", ["123456789012", "012345670123", "12345e678901"])
def test_a_model_digest_that_yaml_may_take_for_a_number_is_read_as_written(digits: str) -> None:
    assert with_line("3F2A3F2A3F2A", digits).model_digest == digits


def test_blanks_around_a_prompt_are_dropped() -> None:
    assert with_line('["a red shape"]', '[" a red shape "]').concepts[0].prompts == ("a red shape",)


def test_errors_are_located_by_line_and_column_under_the_given_name() -> None:
    with pytest.raises(PolicyError) as caught:
        with_line("concept: red, above: 0.5", "concept: rad, above: 0.5")
    assert str(caught.value).splitlines() == [
        "p.yaml:21:21: error: unknown concept 'rad'",
        "   21 |         - {concept: rad, above: 0.5}",
        "      |                     ^^^",
        "   hint: did you mean 'red'? The concepts of this policy are: red, triangle",
    ]


def test_a_broken_concept_is_reported_once_and_not_where_it_is_used() -> None:
    with pytest.raises(PolicyError) as caught:
        with_line("score: cosine", "score: cosines")
    assert str(caught.value).count("error:") == 1


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(PolicyError, match="aliases"):
        parse_policy("\n".join(["l0: &l0 x", *levels]), "p.yaml")


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000, "x" * (1024 * 1024 + 1), "? " * 2000])
def test_hostile_text_ends_in_a_policy_error(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text, "p.yaml")


def test_the_model_that_the_policy_names_is_accepted() -> None:
    identity = ModelIdentity("demo-shapes", "3f2a" * 16, image_size_px=64)
    parse_policy(RED_TRIANGLE, "p.yaml").require_model(identity)


@pytest.mark.parametrize(
    ("name", "digest", "reason"),
    [("ViT-L-14/openai", "3f2a" * 16, "'ViT-L-14/openai'"), ("demo-shapes", "4f2a" * 16, "other weights")],
)
def test_another_model_is_refused(name: str, digest: str, reason: str) -> None:
    policy = parse_policy(RED_TRIANGLE, "p.yaml")
    with pytest.raises(PolicyError, match="never copied from one model to another") as caught:
        policy.require_model(ModelIdentity(name, digest, image_size_px=64))
    assert reason in str(caught.value)


def test_a_quantised_model_is_known_by_the_weights_that_it_is_made_of() -> None:
    policy = parse_policy(RED_TRIANGLE, "p.yaml")
    policy.require_model(ModelIdentity("demo-shapes", "4f2a" * 16, 64, derived_from="3f2a" * 16))
    with pytest.raises(PolicyError, match="other weights"):
        policy.require_model(ModelIdentity("demo-shapes", "3f2a" * 16, 64, derived_from="4f2a" * 16))


def test_each_model_of_a_policy_must_be_loaded_and_others_may_be() -> None:
    policy = parse_policy(BESIDE_PROMPTS, "p.yaml")
    clip, nsfw = ModelIdentity("demo-shapes", "3f2a" * 16, 64), ModelIdentity("open-nsfw", "a" * 64, 224)
    policy.require_model(ModelIdentity.together([clip, nsfw, ModelIdentity("another", "b" * 64, 224)]))
    for loaded in (clip, nsfw):
        with pytest.raises(PolicyError, match=r"for the models 'demo-shapes' and 'open-nsfw'.*: load '(open|demo)-"):
            policy.require_model(loaded)


def test_the_digest_of_the_model_of_the_prompts_is_that_of_a_part() -> None:
    policy = parse_policy(BESIDE_PROMPTS.replace("shapes\n", "shapes\nmodel_digest: 3f2a3f2a3f2a\n"), "p.yaml")
    nsfw = ModelIdentity("open-nsfw", "a" * 64, 224)
    policy.require_model(ModelIdentity.together([ModelIdentity("demo-shapes", "3f2a" * 16, 64), nsfw]))
    with pytest.raises(PolicyError, match="other weights"):
        policy.require_model(ModelIdentity.together([ModelIdentity("demo-shapes", "4f2a" * 16, 64), nsfw]))


def test_without_a_model_digest_only_the_name_counts() -> None:
    policy = with_line("model_digest: 3F2A3F2A3F2A\n", "")
    policy.require_model(ModelIdentity("demo-shapes", "anything", image_size_px=64))


BESIDE_PROMPTS = """\
policy: two-models
model: demo-shapes
concepts:
  nsfw: {score: classifier, model: open-nsfw, output: nsfw}
  red: {score: cosine, prompts: [a red shape]}
  a_safe_one: {score: classifier, model: open-nsfw, output: sfw}
rules:
  - {name: both, verdict: reject, when: {all: [{concept: nsfw, above: 0.8}, {concept: red, above: 0.2}]}}
"""


def test_outputs_of_classifiers_are_labels_after_the_prompts() -> None:
    policy = parse_policy(BESIDE_PROMPTS, "p.yaml")
    assert policy.concepts[0] == Concept("nsfw", ScoreKind.CLASSIFIER, model="open-nsfw", output="nsfw")
    assert (policy.prompts, policy.labels) == (
        ("a red shape",),
        ("a red shape", "open-nsfw/sfw", "open-nsfw/nsfw"),
    )
    assert policy.models == ("demo-shapes", "open-nsfw")


def test_a_policy_without_prompts_names_classifiers_alone() -> None:
    without = [line for line in BESIDE_PROMPTS.splitlines() if "demo-shapes" not in line and "red:" not in line]
    policy = parse_policy("\n".join(without).replace(", {concept: red, above: 0.2}", ""), "p.yaml")
    assert (policy.model, policy.models, policy.prompts) == (None, ("open-nsfw",), ())


def test_a_policy_without_rules_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Policy(name="p", model="m", concepts=(Concept("c", ScoreKind.COSINE, ("x",)),), rules=())
