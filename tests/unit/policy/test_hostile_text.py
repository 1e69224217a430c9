"""Reading any text gives a policy or raises a PolicyError."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import PolicyError
from serve_app.policy import Policy, parse_policy

POLICY: dict[str, Any] = {
    "policy": "demo",
    "description": "Two lines",
    "model": "demo-shapes",
    "model_digest": "3f2a3f2a3f2a",
    "concepts": {
        "red": {"score": "contrast", "prompts": ["a red shape"], "counter_prompts": ["a blue shape", "a photograph"]},
        "blue": {"score": "cosine", "prompts": ["a blue shape"]},
    },
    "rules": [
        {
            "name": "one",
            "verdict": "reject",
            "message": "sorry",
            "when": {"all": [{"concept": "red", "above": 0.5}, {"any": [{"concept": "blue", "above": 0.2}]}]},
        },
        {"name": "two", "verdict": "flag", "when": {"at_least": {"count": 1, "of": [{"concept": "red", "above": 0}]}}},
    ],
}
TEXT = yaml.safe_dump(POLICY, sort_keys=False)
WORDS = ["all", "any", "at_least", "count", "of", "concept", "above", "name", "prompts", "", "\ud800", "\0"]
SIGNS = [*"\"'[]{}:,-?&*!|>%@`#\t\n\r ~\ufeff\x85\u2028\x07", '"\\UFFFFFFFF"', '"\\ud800"', "&a ", "*a"]

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(WORDS)
structures = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | leaves, inner, max_size=4),
    max_leaves=20,
)


def attempt(text: str) -> Policy | None:
    try:
        policy = parse_policy(text, "p.yaml")
    except PolicyError:
        return None
    # Plain types only: the policy travels to other processes, and the values of the file stay behind.
    assert {type(policy.name), type(policy.model), *map(type, policy.labels)} == {str}
    return policy


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a structure."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


@given(st.text())
def test_any_text(text: str) -> None:
    attempt(text)


@given(structures)
def test_any_structure(structure: Any) -> None:
    attempt(yaml.dump(structure))


@given(st.data())
def test_a_policy_in_which_a_part_is_another(data: st.DataObject) -> None:
    changed = copy.deepcopy(POLICY)
    *path, last = data.draw(st.sampled_from(list(places(changed))))
    parent: Any = changed
    for key in path:
        parent = parent[key]
    if data.draw(st.booleans()):
        parent[last] = data.draw(structures)
    else:
        del parent[last]
    attempt(yaml.dump(changed, sort_keys=False))


@given(st.integers(0, len(TEXT)), st.integers(0, 20), st.sampled_from(SIGNS) | st.text(max_size=5))
def test_a_policy_with_a_stretch_replaced(start: int, length: int, replacement: str) -> None:
    attempt(TEXT[:start] + replacement + TEXT[start + length :])


@pytest.mark.parametrize("number", ["\\UFFFFFFFF", "\\U00110000"])
def test_an_escape_beyond_the_last_character_is_an_error_with_its_place(number: str) -> None:
    with pytest.raises(PolicyError, match=r"\Ap\.yaml:2:11: error: this number is too large for a character"):
        parse_policy(f'policy: demo\nmodel: "{number}"', "p.yaml")


def test_a_version_of_a_thousand_digits_is_an_error_with_its_place() -> None:
    with pytest.raises(PolicyError, match=r"\Ap\.yaml:1:7: error: this number is too large"):
        parse_policy(f"%YAML {'1' * 5000}.1\n---\npolicy: demo", "p.yaml")


def test_half_a_surrogate_pair_is_refused_in_every_text() -> None:
    for old in ("Two lines", "demo-shapes", "a red shape", "sorry"):
        assert TEXT.count(old) == 1
        with pytest.raises(PolicyError, match="control characters"):
            parse_policy(TEXT.replace(old, '"\\ud800"'), "p.yaml")


def test_the_policy_that_these_tests_change_is_one() -> None:
    assert attempt(TEXT) is not None


def test_duplicate_keys_are_reported_together_with_what_ends_the_reading() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy("policy: demo\npolicy: demo\nmodel: *name\n", "p.yaml")
    assert [line.partition(": error: ")[2] for line in str(caught.value).splitlines() if "error:" in line] == [
        "duplicate key 'policy'",
        "unsupported YAML: anchors (&) and aliases (*)",
    ]
