"""Policies as they are written, of every kind of concept and condition, for properties of all of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from serve_app.domain import PolicyError
from serve_app.policy import PolicyText, parse_policy

CONCEPTS = {
    "red": {"score": "cosine", "prompts": ["a red shape"]},
    "round": {"score": "cosine", "prompts": ["a disc", "a ring"]},
    "drawn": {"score": "contrast", "prompts": ["a drawing"], "counter_prompts": ["a photograph"]},
    "flat": {"score": "margin", "prompts": [{"a disc": 0.25, "discs": 0.5}, {"a line": 0.125}]},
    "adult": {"score": "classifier", "model": "open-nsfw", "output": "nsfw"},
    "spam": {"score": "head", "file": "spam.safetensors", "digest": "0123456789ab"},
}
LABELS = 9
THRESHOLDS = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75])

Condition = dict[str, Any]


def conditions(*names: str) -> st.SearchStrategy[Condition]:
    """Conditions as they are written; of those that have a name, only the given ones."""

    def nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        parts = st.lists(inner, min_size=1, max_size=3)
        at_least = parts.flatmap(lambda of: st.integers(1, len(of)).map(lambda n: {"at_least": {"count": n, "of": of}}))
        return (
            parts.map(lambda of: {"all": of})
            | parts.map(lambda of: {"any": of})
            | at_least
            | inner.map(lambda of: {"not": of})
        )

    above = st.builds(
        lambda concept, above: {"concept": concept, "above": above}, st.sampled_from([*CONCEPTS]), THRESHOLDS
    )
    named = [st.just({"condition": each}) for each in names]
    return st.recursive(st.one_of(above, *named), nested, max_leaves=6)


@st.composite
def written_policies(draw: st.DrawFn) -> PolicyText:
    """Policies whose every threshold can move one way."""
    whens = draw(st.lists(conditions("one", "two"), min_size=1, max_size=3))
    written = {
        "policy": "demo",
        "model": "fake",
        "concepts": CONCEPTS,
        "conditions": {"one": draw(conditions()), "two": draw(conditions("one"))},
        "rules": [{"name": f"r{i}", "verdict": "reject", "when": when} for i, when in enumerate(whens)],
    }
    text = json.dumps(written, indent=1)  # JSON is YAML
    assert parse_policy(text, "p.yaml")
    try:
        return PolicyText(text, "p.yaml")
    except PolicyError:
        assume(False)  # a threshold would have to move both ways
        raise
