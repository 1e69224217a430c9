"""A policy's text to a :class:`~serve_app.policy.schema.Policy`, or to all that is wrong with it at once."""

from __future__ import annotations

import re

from serve_app.domain import Verdict
from serve_app.policy.conditions import KnownConcepts, read_condition
from serve_app.policy.diagnostics import Report, quote
from serve_app.policy.document import Entry, MappingNode, Node, ScalarNode, read_document
from serve_app.policy.schema import Concept, Policy, Rule, ScoreKind
from serve_app.policy.values import check_keys, read_choice, read_list, read_mapping, read_name, read_text

MAX_PROMPT_CHARS = 300
"""CLIP reads 77 tokens, about as many as these characters hold at most, and cuts the rest off without a word."""

MAX_MESSAGE_CHARS = 300
MAX_DESCRIPTION_CHARS = 4000
MAX_MODEL_CHARS = 300

_POLICY_NAME = re.compile(r"[a-z0-9-]{1,64}")
_RULE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_CONCEPT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MODEL_DIGEST = re.compile(r"[0-9a-fA-F]{12,64}")

_POLICY_NAME_RULE = "a name is of the characters a-z, 0-9 and -, 64 at most"
_RULE_NAME_RULE = "a name starts with a-z or 0-9 and goes on with a-z, 0-9, _ and -, 64 characters at most"
_CONCEPT_NAME_RULE = "a name starts with a-z and goes on with a-z, 0-9 and _, 64 characters at most"
_MODEL_DIGEST_RULE = "the sha256 of the model in hexadecimal, all 64 characters or the first 12 at least"


def parse_policy(text: str, file_name: str) -> Policy:
    """The policy that ``text`` holds. ``file_name`` is only shown.

    Raises:
        PolicyError: the text is no policy. The message shows every problem, with its line and column.
    """
    report = Report(file_name, text.removeprefix("\ufeff"))
    policy = _read_policy(read_document(report), report)
    if policy is None or report.diagnostics:
        raise report.failure()
    return policy


def _read_policy(node: Node, report: Report) -> Policy | None:
    root = read_mapping(node, report, "a policy", "it has the keys policy, model, concepts and rules")
    if root is None:
        return None
    check_keys(root, report, "a policy", ("policy", "model", "concepts", "rules"), ("description", "model_digest"))
    name = read_name(root.get("policy"), report, "the name of a policy", _POLICY_NAME, _POLICY_NAME_RULE)
    model = read_text(root.get("model"), report, "'model'", MAX_MODEL_CHARS)
    digest = read_name(root.get("model_digest"), report, "a model digest", _MODEL_DIGEST, _MODEL_DIGEST_RULE)
    description = _read_description(root.get("description"), report)
    concepts, known = _read_concepts(root.get("concepts"), report)
    rules = _read_rules(root.get("rules"), report, known)
    if name is None or model is None or not concepts or not rules:
        return None
    return Policy(
        name=name,
        model=model,
        concepts=concepts,
        rules=rules,
        model_digest=digest.lower() if digest is not None else None,
        description=description,
    )


def _read_description(node: Node | None, report: Report) -> str | None:
    """Free text: the only one that may have several lines."""
    if not isinstance(node, ScalarNode):
        return read_text(node, report, "'description'", MAX_DESCRIPTION_CHARS)
    if len(node.text) > MAX_DESCRIPTION_CHARS:
        report.error(node.span, f"'description' may have {MAX_DESCRIPTION_CHARS} characters, found {len(node.text)}")
    return node.text.strip() or None


def _read_concepts(node: Node | None, report: Report) -> tuple[tuple[Concept, ...], KnownConcepts]:
    """The concepts without mistakes, and the names of all."""
    mapping = read_mapping(node, report, "'concepts'", "write NAME: {score: contrast, prompts: [...], ...} for each")
    if mapping is None:
        return (), {}
    if not mapping.entries:
        report.error(mapping.span, "'concepts' must not be empty")
    read = {entry.key.text: _read_concept(entry, report) for entry in mapping.entries}
    known = {name: concept.score if concept is not None else None for name, concept in read.items()}
    return tuple(concept for concept in read.values() if concept is not None), known


def _read_concept(entry: Entry, report: Report) -> Concept | None:
    name = read_name(entry.key, report, "the name of a concept", _CONCEPT_NAME, _CONCEPT_NAME_RULE)
    what = f"concept {quote(entry.key.text)}"
    mapping = read_mapping(entry.value, report, what, "write score, prompts and, for contrast, counter_prompts")
    if mapping is None:
        return None
    at = entry.key.span
    check_keys(mapping, report, what, required=("score", "prompts"), optional=("counter_prompts",), at=at)
    kind = read_choice(mapping.get("score"), report, "'score'", [kind.value for kind in ScoreKind])
    score = ScoreKind(kind) if kind is not None else None
    _check_counter_prompts(mapping, report, entry, score)
    seen: dict[str, str] = {}
    prompts = _read_prompts(mapping, report, "prompts", seen)
    counter_prompts = _read_prompts(mapping, report, "counter_prompts", seen)
    if name is None or score is None:
        return None
    return Concept(name, score, prompts, counter_prompts)


def _check_counter_prompts(mapping: MappingNode, report: Report, entry: Entry, score: ScoreKind | None) -> None:
    given = next((each.key for each in mapping.entries if each.key.text == "counter_prompts"), None)
    if score is ScoreKind.COSINE and given is not None:
        report.error(given.span, "a cosine score has no counter_prompts", "remove them, or write score: contrast")
    if score is ScoreKind.CONTRAST and given is None:
        hint = "a contrast score is the probability of the prompts against these, for instance 'a photograph of a room'"
        report.error(entry.key.span, f"concept {quote(entry.key.text)} lacks the key 'counter_prompts'", hint)


def _read_prompts(mapping: MappingNode, report: Report, key: str, seen: dict[str, str]) -> tuple[str, ...]:
    """The prompts of one list. ``seen`` maps what the concept has had so far to the list that had it."""
    prompts: list[str] = []
    for item in read_list(mapping.get(key), report, f"'{key}'"):
        prompt = read_text(item, report, "a prompt", MAX_PROMPT_CHARS)
        if prompt is None:
            continue
        # CLIP's tokenizer lowers the case and joins blanks, so that these differ to the eye only.
        folded = " ".join(prompt.lower().split())
        if folded in seen:
            hint = "it would count twice" if seen[folded] == key else "the two would cancel each other out"
            report.error(item.span, f"the prompt {quote(prompt)} stands in '{seen[folded]}' already", hint)
        seen.setdefault(folded, key)
        prompts.append(prompt)
    return tuple(prompts)


def _read_rules(node: Node | None, report: Report, concepts: KnownConcepts) -> tuple[Rule, ...]:
    """The rules without mistakes."""
    first_lines: dict[str, int] = {}
    rules = [_read_rule(item, report, concepts, first_lines) for item in read_list(node, report, "'rules'")]
    return tuple(rule for rule in rules if rule is not None)


def _read_rule(node: Node, report: Report, concepts: KnownConcepts, first_lines: dict[str, int]) -> Rule | None:
    mapping = read_mapping(node, report, "a rule", "it has the keys name, verdict, when and (optional) message")
    if mapping is None:
        return None
    check_keys(mapping, report, "a rule", required=("name", "verdict", "when"), optional=("message",))
    name = _read_rule_name(mapping.get("name"), report, first_lines)
    verdict = _read_verdict(mapping.get("verdict"), report)
    message = read_text(mapping.get("message"), report, "'message'", MAX_MESSAGE_CHARS)
    when = read_condition(mapping.get("when"), report, concepts)
    if name is None or verdict is None or when is None:
        return None
    return Rule(name, verdict, when, message)


def _read_rule_name(node: Node | None, report: Report, first_lines: dict[str, int]) -> str | None:
    name = read_name(node, report, "the name of a rule", _RULE_NAME, _RULE_NAME_RULE)
    if name is None or node is None:
        return None
    if name in first_lines:
        report.error(node.span, f"duplicate rule name '{name}'", f"the rule in line {first_lines[name]} has it already")
    first_lines.setdefault(name, node.span.line)
    return name


def _read_verdict(node: Node | None, report: Report) -> Verdict | None:
    if isinstance(node, ScalarNode) and node.text == Verdict.ACCEPT.value:
        hint = "a picture is accepted when no rule holds, and the worst verdict wins: this rule could change nothing"
        report.error(node.span, "a rule cannot have the verdict 'accept'", hint)
        return None
    choice = read_choice(node, report, "'verdict'", [Verdict.REJECT.value, Verdict.FLAG.value])
    return Verdict(choice) if choice is not None else None
