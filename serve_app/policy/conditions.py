"""The condition of a rule: nodes to ``above``, ``all``, ``any`` and ``at_least``, which nest."""

from __future__ import annotations

from collections.abc import Mapping

from serve_app.policy.diagnostics import Report, did_you_mean, quote
from serve_app.policy.document import ListNode, MappingNode, Node, ScalarNode
from serve_app.policy.schema import Above, AllOf, AnyOf, AtLeast, Condition, ScoreKind
from serve_app.policy.values import check_keys, read_count, read_list, read_mapping, read_number

KnownConcepts = Mapping[str, ScoreKind | None]
"""The concepts that a condition may name. None stands for one whose definition is wrong: it is known all the same,
because a second diagnostic where it is used would only repeat the first."""

_FORMS = "{concept: NAME, above: NUMBER}, {all: [...]}, {any: [...]} or {at_least: {count: N, of: [...]}}"
_FORM_OF_KEY = {"concept": "above", "above": "above", "all": "all", "any": "any", "at_least": "at_least"}


def read_condition(node: Node | None, report: Report, concepts: KnownConcepts) -> Condition | None:
    """A condition, or None when something in it is wrong and has been noted."""
    mapping = read_mapping(node, report, "a condition", f"it is one of {_FORMS}")
    if mapping is None:
        return None
    match _form(mapping, report):
        case "all":
            parts = _read_parts(mapping.get("all"), report, "'all'", concepts)
            return AllOf(parts) if parts else None
        case "any":
            parts = _read_parts(mapping.get("any"), report, "'any'", concepts)
            return AnyOf(parts) if parts else None
        case "at_least":
            return _read_at_least(mapping.get("at_least"), report, concepts)
        case "above":
            return _read_above(mapping, report, concepts)
        case _:
            return None


def _form(mapping: MappingNode, report: Report) -> str | None:
    """Which of the four forms the mapping has; None, and noted, when it has none or several."""
    keys = [entry.key.text for entry in mapping.entries]
    forms = {_FORM_OF_KEY[key] for key in keys if key in _FORM_OF_KEY}
    if len(forms) == 1 and forms != {"above"}:
        (form,) = forms
        check_keys(mapping, report, "a condition", required=(form,))
        return form
    if len(forms) > 1:
        found = ", ".join(quote(key) for key in keys if key in _FORM_OF_KEY)
        report.error(mapping.span, f"a condition has one form, found {found}", "nest them: all: [{any: [...]}, ...]")
        return None
    if forms == {"above"}:
        check_keys(mapping, report, "a condition", required=("concept", "above"))
        return "above"
    for entry in mapping.entries:
        hint = did_you_mean(entry.key.text, _FORM_OF_KEY, f"a condition is one of {_FORMS}")
        report.error(entry.key.span, f"unknown key {quote(entry.key.text)} in a condition", hint)
    if not keys:
        report.error(mapping.span, "a condition must not be empty", f"it is one of {_FORMS}")
    return None


def _read_parts(node: Node | None, report: Report, what: str, concepts: KnownConcepts) -> tuple[Condition, ...]:
    """All conditions of a list, or none at all when one of them is wrong."""
    items = read_list(node, report, what)
    parts = [read_condition(item, report, concepts) for item in items]
    whole = tuple(part for part in parts if part is not None)
    return whole if len(whole) == len(items) else ()


def _read_at_least(node: Node | None, report: Report, concepts: KnownConcepts) -> AtLeast | None:
    mapping = read_mapping(node, report, "'at_least'", "write at_least: {count: 2, of: [...]}")
    if mapping is None:
        return None
    check_keys(mapping, report, "'at_least'", required=("count", "of"))
    count = _read_count_of(mapping.get("count"), mapping.get("of"), report)
    parts = _read_parts(mapping.get("of"), report, "'of'", concepts)
    return AtLeast(count, parts) if count is not None and parts else None


def _read_count_of(node: Node | None, of: Node | None, report: Report) -> int | None:
    """The count, where it can be met and asks for something at all."""
    count = read_count(node, report, "'count'")
    listed = len(of.items) if isinstance(of, ListNode) else 0
    if node is None or count is None or listed == 0 or 1 <= count <= listed:
        return count
    hint = f"'of' lists {listed} condition{'' if listed == 1 else 's'}"
    report.error(node.span, f"'count' must be in 1..{listed}, found {count}", hint)
    return None


def _read_above(mapping: MappingNode, report: Report, concepts: KnownConcepts) -> Above | None:
    name = _read_concept_name(mapping.get("concept"), report, concepts)
    kind = concepts[name] if name is not None else None
    low, high = (kind or ScoreKind.COSINE).range  # of an unknown kind, the wider of the two ranges
    why = f"{kind} scores are in {low:g}..{high:g}" if kind is not None else "no score is beyond that"
    threshold = read_number(mapping.get("above"), report, "'above'", low, high, why)
    return Above(name, threshold) if name is not None and threshold is not None else None


def _read_concept_name(node: Node | None, report: Report, concepts: KnownConcepts) -> str | None:
    if node is None:
        return None
    if not isinstance(node, ScalarNode) or not node.text:
        report.error(node.span, f"'concept' must be the name of a concept, found {node.describe()}")
        return None
    if node.text in concepts:
        return node.text
    known = f"the concepts of this policy are: {', '.join(concepts)}" if concepts else "this policy has no concepts"
    report.error(node.span, f"unknown concept {quote(node.text)}", did_you_mean(node.text, concepts, known))
    return None
