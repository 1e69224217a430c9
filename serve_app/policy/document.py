"""YAML text to plain values (text, lists, mappings) that know where in the text they stand.

PyYAML composes its nodes and does not load them, because ``yaml.safe_load`` forgets positions, drops the first of two
equal keys without a warning, takes ``no`` for a boolean, and expands aliases (a few lines can become gigabytes).
"""

from __future__ import annotations

from typing import Any, Literal

import yaml

from serve_app.domain import PolicyError
from serve_app.policy.diagnostics import LINE_BREAK, Report, Span, quote

MAX_DEPTH = 64
"""Levels of nesting. Reading and evaluating recurse, so this also bounds the stack that a file can use."""

MAX_CHARS = 1024 * 1024
"""Longer texts are refused before they are parsed."""


Kind = Literal["text", "number", "boolean", "date", "nothing"]
"""The type that YAML gives to a scalar, in the words of a message."""


class ScalarValue(str):
    """A single value as written, without its quotes; ``plain`` says that it was written without quotes."""

    __slots__ = ("kind", "plain", "span")
    span: Span
    kind: Kind
    plain: bool

    def with_text(self, text: str) -> ScalarValue:
        """Another text in the same place."""
        other = ScalarValue(text)
        other.span, other.kind, other.plain = self.span, "text", self.plain
        return other


class ListValue(list["Value"]):
    """The items of a list."""

    span: Span


class MappingValue(dict[str, "Value"]):
    """Keys and their values, in the order of the file; ``written`` has each key as a value of its own."""

    span: Span
    written: dict[str, ScalarValue]


Value = ScalarValue | ListValue | MappingValue


def describe(value: Value) -> str:
    """The words of a message for a value that was found."""
    if isinstance(value, ScalarValue):
        return "nothing" if value.kind == "nothing" else f"the {value.kind} {quote(value)}"
    return ("a " if value else "an empty ") + ("list" if isinstance(value, ListValue) else "mapping")


_KINDS: dict[str, Kind] = {
    "int": "number",
    "float": "number",
    "bool": "boolean",
    "null": "nothing",
    "timestamp": "date",
}


def read_document(report: Report) -> Value:
    """The one document of ``report.text``. Duplicate keys are noted in the report; the first of them is kept.

    Raises:
        PolicyError: the text is not YAML, or it has anchors, tags, a second document or deep nesting.
    """
    if len(report.text) > MAX_CHARS:
        raise report.refusal(Span(1, 1), f"the policy is longer than the limit of {MAX_CHARS} characters")
    try:
        root = _compose(report)
    except yaml.MarkedYAMLError as error:
        raise _syntax_refusal(report, error) from error
    except yaml.reader.ReaderError as error:
        lines = LINE_BREAK.split(report.text[: error.position])
        span = Span(len(lines), len(lines[-1]) + 1, 1)
        raise report.refusal(span, f"the character U+{error.character:04X} is not allowed in YAML") from error
    if root is None:
        raise report.refusal(Span(1, 1), "the file is empty", "it needs the keys policy, model, concepts and rules")
    return _value(root)


def _compose(report: Report) -> yaml.Node | None:
    loader = _Loader(report)
    try:
        return loader.get_single_node()
    except (ValueError, OverflowError) as error:
        # PyYAML converts the digits of an escape sequence or of a version without checking their range.
        problem = "this number is too large for a character or a version of YAML"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=loader.get_mark()) from error


class _Loader(yaml.SafeLoader):
    """Refuses the parts of YAML that no policy needs before they are composed: an alias could grow without bound."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.text)
        self._report = report
        self._depth = 0
        self._keys: dict[tuple[int, str], yaml.Node] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        is_key = isinstance(parent, yaml.MappingNode) and index is None
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._refusal("unsupported YAML: anchors (&) and aliases (*)", "write it out, or quote the text")
        if event.tag is not None:
            raise self._refusal("unsupported YAML: tags (!)", "remove the tag, or quote the text")
        if self._depth == MAX_DEPTH:
            raise self._refusal(f"nested deeper than the limit of {MAX_DEPTH} levels")
        if is_key and not isinstance(event, yaml.ScalarEvent):
            raise self._refusal("a key must be plain text")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        # Noted while composing, so that an error further on does not hide a duplicate.
        if is_key and isinstance(node, yaml.ScalarNode):
            first = self._keys.setdefault((id(parent), node.value), node)
            if first is not node:
                hint = f"the key is already in line {_span(first).line}"
                self._report.error(_span(node), f"duplicate key {quote(node.value)}", hint)
        return node

    def _refusal(self, message: str, hint: str | None = None) -> PolicyError:
        return self._report.refusal(_span(self.peek_event()), message, hint)  # type: ignore[no-untyped-call]


def _value(node: yaml.Node) -> Value:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        items = ListValue(map(_value, node.value))
        items.span = _collection_span(node, items[0].span if items else None)
        return items
    mapping = MappingValue()
    mapping.written = {}
    for key_node, value_node in node.value:
        key = _scalar(key_node)
        if mapping.written.setdefault(key, key) is key:
            mapping[key] = _value(value_node)
    mapping.span = _collection_span(node, next((key.span for key in mapping.written.values()), None))
    return mapping


def _scalar(node: yaml.ScalarNode) -> ScalarValue:
    scalar = ScalarValue(node.value)
    scalar.span, scalar.plain = _span(node), not node.style
    scalar.kind = _KINDS.get(node.tag.rpartition(":")[2], "text")
    return scalar


def _collection_span(node: yaml.Node, first: Span | None) -> Span:
    """A flow collection as far as its line goes; of a block collection only its first key or item.

    Carets under all of a block's first line would point at one entry and mean all of them.
    """
    return _span(node) if getattr(node, "flow_style", False) or first is None else first


def _span(marked: Any) -> Span:
    """Where a node or an event stands. The rendering, which knows how long the line is, cuts off any further lines."""
    start, end = marked.start_mark, marked.end_mark
    width = end.column - start.column if end.line == start.line else MAX_CHARS
    return Span(start.line + 1, start.column + 1, width)


def _syntax_refusal(report: Report, error: yaml.MarkedYAMLError) -> PolicyError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    if error.context == "expected a single document in the stream":
        hint = "a file holds one policy; remove the '---'"
        return report.refusal(Span(line, column, len("---")), "unsupported YAML: a second document", hint)
    message = (error.problem or "this is not YAML").replace("\t", "\\t")
    way_out = next((hint for part, hint in _HINTS.items() if part in message), None)
    if way_out is None and error.context in _OPENED and error.context_mark is not None:
        opened, opened_in = _OPENED[error.context], error.context_mark.line + 1
        way_out = f"{opened} that starts in line {opened_in} is not closed before this"
    return report.refusal(Span(line, column), message, way_out)


_HINTS = {
    r"'\t'": "YAML is indented with spaces, never with tabs",
    "mapping values are not allowed": (
        "quote a text that contains ': ', and start all keys of a mapping in the same column"
    ),
    "cannot start any token": "quote a text that starts with this character",
}
"""Hints for the mistakes that PyYAML explains badly, by a part of its message."""

_OPENED = {
    "while parsing a flow sequence": "the list [...]",
    "while parsing a flow mapping": "the mapping {...}",
    "while parsing a block collection": "the list",
    "while parsing a block mapping": "the mapping",
    "while scanning a quoted scalar": "the quoted text",
}
"""The part of a file that PyYAML was reading when it stopped, in the words of our messages."""
