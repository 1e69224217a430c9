"""Whether the fields of a policy file fit each other.

The checks run on the values as they are written in the file, so that a misfit is reported together with the errors
inside a field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from serve_app.policy.diagnostics import Diagnostic, quote
from serve_app.policy.document import ListValue, MappingValue, ScalarValue, Value, describe
from serve_app.policy.fields import whole_number

_HINTS_OF_KEYS = {
    "model": "remove it, or write score: classifier",
    "output": "remove it, or write score: classifier",
    "file": "remove it, or write score: head",
    "digest": "remove it, or write score: head",
}


def of_keys_of_others(found: MappingValue, others: Sequence[str]) -> Iterator[Diagnostic]:
    """A concept has no keys that belong to other scores."""
    score = found.get("score")
    for key in others:
        if key in found:
            hint = _HINTS_OF_KEYS.get(key, f"remove it: a {score} reads no text")
            yield Diagnostic(found.written[key].span, f"a {score} score has no {key}", hint)


def of_counter_prompts(name: ScalarValue, found: MappingValue) -> Iterator[Diagnostic]:
    """A concept has counter-prompts where its score takes them, and only there."""
    score, given = found.get("score"), found.written.get("counter_prompts")
    if isinstance(score, ScalarValue) and score in ("cosine", "margin") and given is not None:
        hint = "remove them, or write score: contrast"
        yield Diagnostic(given.span, f"a {score} score has no counter_prompts", hint)
    if score == "contrast" and given is None:
        hint = "a contrast score is the probability of the prompts against these, for instance 'a photograph of a room'"
        yield Diagnostic(name.span, f"concept {quote(name)} lacks the key 'counter_prompts'", hint)


def of_thresholds(found: MappingValue) -> Iterator[Diagnostic]:
    """Each prompt of a margin score has its threshold."""
    prompts = found.get("prompts")
    for prompt in prompts if found.get("score") == "margin" and isinstance(prompts, ListValue) else ():
        if not isinstance(prompt, MappingValue) or not prompt:
            hint = 'write {"a photo of a cat": 0.24}; several wordings in one {...} count once'
            message = f"a prompt of a margin score needs its threshold, found {describe(prompt)}"
            yield Diagnostic(prompt.span, message, hint)


def of_prompts(found: MappingValue) -> Iterator[Diagnostic]:
    """A concept has each of its prompts once."""
    seen: dict[str, str] = {}
    for key in ("prompts", "counter_prompts"):
        for prompt in _written_prompts(found.get(key)):
            # CLIP's tokenizer lowers the case and joins blanks, so that these differ to the eye only.
            folded = " ".join(prompt.lower().split())
            if folded in seen:
                hint = "it would count twice" if seen[folded] == key else "the two would cancel each other out"
                message = f"the prompt {quote(prompt.strip())} is already in '{seen[folded]}'"
                yield Diagnostic(prompt.span, message, hint)
            seen.setdefault(folded, key)


def _written_prompts(prompts: Value | None) -> Iterator[ScalarValue]:
    for item in prompts if isinstance(prompts, ListValue) else ():
        for prompt in item.written.values() if isinstance(item, MappingValue) else [item]:
            if isinstance(prompt, ScalarValue) and prompt.kind == "text" and prompt.strip():
                yield prompt


def of_count(found: MappingValue) -> Iterator[Diagnostic]:
    """A count is between 1 and the number of listed conditions."""
    written, of = found.get("count"), found.get("of")
    count, listed = whole_number(written), len(of) if isinstance(of, ListValue) else 0
    if written is not None and count is not None and listed and not 1 <= count <= listed:
        hint = f"'of' lists {listed} condition{'' if listed == 1 else 's'}"
        yield Diagnostic(written.span, f"'count' must be in 1..{listed}, found {count}", hint)


def needs_of_policy(found: MappingValue) -> Mapping[str, bool]:
    """A policy names the model of its prompts, where it has any."""
    concepts = found.get("concepts")
    return {"model": not (isinstance(concepts, MappingValue) and _has_classifiers_alone(concepts))}


def of_policy(found: MappingValue) -> Iterator[Diagnostic]:
    """Each rule of a policy has a name of its own, and its model belongs to its prompts."""
    yield from of_rule_names(found)
    for key in () if needs_of_policy(found)["model"] else ("model", "model_digest"):
        if key in found:
            hint = "remove it: a classifier is named by the concept that has its output"
            yield Diagnostic(found.written[key].span, f"a policy without prompts has no '{key}'", hint)


def _has_classifiers_alone(concepts: MappingValue) -> bool:
    scores = [each.get("score") for each in concepts.values() if isinstance(each, MappingValue)]
    return bool(scores) and all(score == "classifier" for score in scores)


def of_rule_names(found: MappingValue) -> Iterator[Diagnostic]:
    """Each rule of a policy has a name of its own."""
    rules = found.get("rules")
    first: dict[str, ScalarValue] = {}
    for rule in rules if isinstance(rules, ListValue) else ():
        each = rule.get("name") if isinstance(rule, MappingValue) else None
        if isinstance(each, ScalarValue) and each.kind != "nothing" and first.setdefault(each, each) is not each:
            hint = f"the rule in line {first[each].span.line} already has this name"
            yield Diagnostic(each.span, f"duplicate rule name {quote(each)}", hint)
