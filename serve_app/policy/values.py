"""Single values out of nodes: each reader returns the checked value, or notes what is wrong and returns None.

A missing node (None) gives None without a word, because :func:`check_keys` has reported the missing key already: one
mistake, one diagnostic.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Sequence

from serve_app.policy.diagnostics import Report, Span, did_you_mean, nearest, quote
from serve_app.policy.document import ListNode, MappingNode, Node, ScalarKind, ScalarNode

MAX_NAME_CHARS = 64

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.?(inf|infinity|nan)", re.IGNORECASE)
_COUNT = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)


def read_mapping(node: Node | None, report: Report, what: str, hint: str | None = None) -> MappingNode | None:
    """The mapping that ``what`` (for instance "a rule") must be."""
    if node is None or isinstance(node, MappingNode):
        return node
    report.error(node.span, f"{what} must be a mapping, found {node.describe()}", hint)
    return None


def read_list(node: Node | None, report: Report, what: str) -> tuple[Node, ...]:
    """The items of a list that must not be empty; no items when something is wrong."""
    if node is None:
        return ()
    if not isinstance(node, ListNode):
        report.error(node.span, f"{what} must be a list, found {node.describe()}", "write [one, two], or '- one' lines")
        return ()
    if not node.items:
        report.error(node.span, f"{what} must not be empty")
    return node.items


def check_keys(
    node: MappingNode,
    report: Report,
    what: str,
    required: Sequence[str],
    optional: Sequence[str] = (),
    at: Span | None = None,
) -> None:
    """Note every key that ``what`` does not have, and every key that it lacks (at ``at``, by default where it starts).

    A key that was only misspelt is not also noted as lacking.
    """
    known = (*required, *optional)
    present = {entry.key.text: entry.key for entry in node.entries}
    for text, key in present.items():
        if text not in known:
            hint = did_you_mean(text, known, f"the keys of {what} are: {', '.join(known)}")
            report.error(key.span, f"unknown key {quote(text)} in {what}", hint)
    meant = {nearest(text, known) for text in present if text not in known}
    for name in required:
        if name not in present and name not in meant:
            report.error(at or node.span, f"{what} lacks the key '{name}'")


def read_name(node: Node | None, report: Report, what: str, pattern: re.Pattern[str], rule: str) -> str | None:
    """A name that fully matches ``pattern``; ``rule`` says the pattern in words.

    Read as written, whatever YAML takes it for: ``no`` is a fine name for a concept, and a digest may be all digits.
    """
    if node is None:
        return None
    if not isinstance(node, ScalarNode) or node.kind is ScalarKind.NULL:
        report.error(node.span, f"{what} must be text, found {node.describe()}")
    elif not pattern.fullmatch(node.text):
        report.error(node.span, f"{quote(node.text)} cannot be {what}", rule)
    else:
        return node.text
    return None


def read_choice(node: Node | None, report: Report, what: str, choices: Collection[str]) -> str | None:
    """One of a few words."""
    if node is None:
        return None
    if isinstance(node, ScalarNode) and node.text in choices:
        return node.text
    found = quote(node.text) if isinstance(node, ScalarNode) and node.text else node.describe()
    hint = f"it is one of: {', '.join(choices)}"
    if isinstance(node, ScalarNode):
        hint = did_you_mean(node.text, choices, hint)
    report.error(node.span, f"{what} cannot be {found}", hint)
    return None


def read_text(node: Node | None, report: Report, what: str, max_chars: int) -> str | None:
    """One line of text, without the blanks around it."""
    if node is None:
        return None
    if not isinstance(node, ScalarNode) or node.kind is not ScalarKind.TEXT:
        quotable = isinstance(node, ScalarNode) and node.kind is not ScalarKind.NULL
        hint = f'put it in quotes: "{node.text}"' if quotable and isinstance(node, ScalarNode) else None
        report.error(node.span, f"{what} must be text, found {node.describe()}", hint)
        return None
    text = node.text.strip()
    if problem := _text_problem(text, max_chars):
        report.error(node.span, f"{what} {problem}")
        return None
    return text


def _text_problem(text: str, max_chars: int) -> str | None:
    if not text:
        return "must not be empty"
    if len(text) > max_chars:
        return f"has {len(text)} characters, and may have {max_chars}"
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text):
        return "must be a single line without control characters"
    return None


def read_number(node: Node | None, report: Report, what: str, low: float, high: float, why: str) -> float | None:
    """A finite number in ``low..high``, both included; ``why`` says where these bounds come from.

    Decimal numbers only, with or without an exponent: YAML 1.1 would take ``1e-3`` for text and ``1:30`` for 90.
    """
    if node is None:
        return None
    text = node.text if isinstance(node, ScalarNode) and node.plain else ""
    if _NOT_FINITE.fullmatch(text):
        report.error(node.span, f"{what} must be a finite number, found {quote(text)}")
    elif not _NUMBER.fullmatch(text):
        quoted = isinstance(node, ScalarNode) and not node.plain and _NUMBER.fullmatch(node.text)
        hint = "remove the quotes" if quoted else None
        report.error(node.span, f"{what} must be a decimal number, found {node.describe()}", hint)
    elif not (low <= (number := float(text)) <= high and math.isfinite(number)):
        report.error(node.span, f"{what} must be in {low:g}..{high:g}, found {text[:40]}", why)
    else:
        return number
    return None


def read_count(node: Node | None, report: Report, what: str) -> int | None:
    """A whole number, zero or more (below a milliard)."""
    if node is None:
        return None
    if isinstance(node, ScalarNode) and node.plain and _COUNT.fullmatch(node.text):
        return int(node.text)
    report.error(node.span, f"{what} must be a whole number, found {node.describe()}")
    return None
