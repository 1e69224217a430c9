"""YAML text to nodes that know where they stand.

Only the plain part of YAML is read. Built from parser events rather than with ``yaml.safe_load``, because that forgets
positions, keeps the last of two equal keys without a word, and expands aliases (a few lines can become gigabytes).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

import yaml

from serve_app.policy.diagnostics import Report, Span, quote

MAX_DEPTH = 64
"""Levels of nesting. Everything that walks a policy recurses, so this also bounds the stack that a file can use."""

MAX_CHARS = 1024 * 1024
"""Longer texts are refused before they are parsed."""


class ScalarKind(enum.StrEnum):
    """What YAML takes a scalar for; the value is how a message calls it."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    NULL = "nothing"


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value. ``text`` is as written (without quotes); ``plain`` says that it was written without quotes."""

    span: Span
    text: str
    kind: ScalarKind
    plain: bool

    def describe(self) -> str:
        """How a message calls what was found."""
        if self.kind is ScalarKind.NULL:
            return "nothing"
        return f"the {self.kind} {quote(self.text)}"


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list of nodes."""

    span: Span
    items: tuple[Node, ...]

    def describe(self) -> str:
        """How a message calls what was found."""
        return "a list" if self.items else "an empty list"


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value."""

    key: ScalarNode
    value: Node


@dataclass(frozen=True, slots=True)
class MappingNode:
    """Keys and their values, in the order of the file, each key once."""

    span: Span
    entries: tuple[Entry, ...]

    def get(self, key: str) -> Node | None:
        """The value of a key, None when it is not there."""
        return next((entry.value for entry in self.entries if entry.key.text == key), None)

    def describe(self) -> str:
        """How a message calls what was found."""
        return "a mapping" if self.entries else "an empty mapping"


Node = ScalarNode | ListNode | MappingNode

_KINDS = {
    "str": ScalarKind.TEXT,
    "int": ScalarKind.NUMBER,
    "float": ScalarKind.NUMBER,
    "bool": ScalarKind.BOOLEAN,
    "null": ScalarKind.NULL,
    "timestamp": ScalarKind.DATE,
}


def read_document(report: Report) -> Node:
    """The one document of ``report.text``. Duplicate keys are noted in the report; the first of them is kept.

    Raises:
        PolicyError: this is no YAML, or uses what we do not read: anchors, tags, a second document, deep nesting.
    """
    if len(report.text) > MAX_CHARS:
        report.error(Span(1, 1), f"the policy is longer than {MAX_CHARS} characters")
        raise report.failure()
    try:
        return _Builder(report).build()
    except yaml.MarkedYAMLError as error:
        _note_syntax_error(report, error)
    except yaml.reader.ReaderError as error:
        _note_character_error(report, error)
    raise report.failure()


class _Loader(Protocol):
    """The two methods of ``yaml.SafeLoader`` that are used; its stubs leave both untyped."""

    def get_event(self) -> yaml.Event: ...

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str: ...


class _Builder:
    """Consumes the events of one document."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._loader: _Loader = yaml.SafeLoader(report.text)

    def build(self) -> Node:
        self._next()  # the start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            self._report.error(Span(1, 1), "the file is empty", "it needs the keys policy, model, concepts and rules")
            raise self._report.failure()
        node = self._node(self._next(), depth=1)
        self._next()  # the end of the document
        following = self._next()
        if not isinstance(following, yaml.StreamEndEvent):
            raise self._refuse(following, "a second document", "one file holds one policy: remove the '---'")
        return node

    def _next(self) -> yaml.Event:
        return self._loader.get_event()

    def _node(self, event: yaml.Event, depth: int) -> Node:
        self._check_plain_yaml(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(event, depth)
        return self._mapping(event, depth)

    def _check_plain_yaml(self, event: yaml.Event, depth: int) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._refuse(event, "anchors (&) and aliases (*) are not read", "write it out, or quote the text")
        if getattr(event, "tag", None) is not None:
            raise self._refuse(event, "tags (!) are not read", "remove the tag, or quote the text")
        if depth > MAX_DEPTH:
            raise self._refuse(event, f"nested more than {MAX_DEPTH} levels deep")

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = _KINDS.get(tag.rpartition(":")[2], ScalarKind.TEXT)
        return ScalarNode(_span(event, event), event.value, kind, plain=not event.style)

    def _list(self, start: yaml.SequenceStartEvent, depth: int) -> ListNode:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return ListNode(self._collection_span(start, event, items[0].span if items else None), tuple(items))

    def _mapping(self, start: yaml.Event, depth: int) -> MappingNode:
        entries: dict[str, Entry] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            self._check_plain_yaml(event, depth + 1)
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refuse(event, "a key must be plain text")
            key = self._scalar(event)
            value = self._node(self._next(), depth + 1)
            self._keep_first(entries, Entry(key, value))
        kept = tuple(entries.values())
        return MappingNode(self._collection_span(start, event, kept[0].key.span if kept else None), kept)

    def _keep_first(self, entries: dict[str, Entry], entry: Entry) -> None:
        first = entries.setdefault(entry.key.text, entry)
        if first is not entry:
            self._report.error(
                entry.key.span,
                f"duplicate key {quote(entry.key.text)}",
                f"it is given in line {first.key.span.line} already",
            )

    def _collection_span(self, start: yaml.Event, end: yaml.Event, first: Span | None) -> Span:
        """A flow collection as far as its line goes; of a block collection only its first key or item.

        Carets under all of a block's first line would point at one entry and mean all of them.
        """
        if getattr(start, "flow_style", False) or first is None:
            return _span(start, end)
        return first

    def _refuse(self, event: yaml.Event, message: str, hint: str | None = None) -> Exception:
        self._report.error(_span(event, event), message, hint)
        return self._report.failure()


def _span(first: yaml.Event, last: yaml.Event) -> Span:
    """From event to event; what goes on in further lines is cut by the rendering, which knows how long the line is."""
    start, end = first.start_mark, last.end_mark
    if start is None or end is None:  # the stubs allow it; a parsed event has both
        return Span(1, 1)
    width = end.column - start.column if end.line == start.line else MAX_CHARS
    return Span(start.line + 1, start.column + 1, width)


def _note_syntax_error(report: Report, error: yaml.MarkedYAMLError) -> None:
    mark = error.problem_mark or error.context_mark
    span = Span(mark.line + 1, mark.column + 1) if mark else Span(1, 1)
    message = (error.problem or "this is no YAML").replace("\t", "\\t")
    hint = _syntax_hint(message)
    if hint is None and error.context in _OPENED and error.context_mark is not None:
        hint = f"{_OPENED[error.context]} that starts in line {error.context_mark.line + 1} has not ended before this"
    report.error(span, message, hint)


_OPENED = {
    "while parsing a flow sequence": "the list [...]",
    "while parsing a flow mapping": "the mapping {...}",
    "while parsing a block collection": "the list",
    "while parsing a block mapping": "the mapping",
    "while scanning a quoted scalar": "the quoted text",
}
"""What YAML was reading when it stopped, in the words of our messages."""


def _syntax_hint(message: str) -> str | None:
    """The way out of the three mistakes that YAML's own words explain badly."""
    if r"'\t'" in message:
        return "YAML is indented with spaces, never with tabs"
    if "mapping values are not allowed" in message:
        return "a text that holds ': ' must be quoted, and keys of one mapping stand in one column"
    if "cannot start any token" in message:
        return "a text that starts with this character must be quoted"
    return None


def _note_character_error(report: Report, error: yaml.reader.ReaderError) -> None:
    before = report.text[: error.position]
    line_start = max(before.rfind("\n"), before.rfind("\r")) + 1
    line = before.count("\n") + before.replace("\r\n", "").count("\r") + 1
    code = error.character if isinstance(error.character, int) else ord(error.character)
    report.error(Span(line, len(before) - line_start + 1, 1), f"the character U+{code:04X} is not allowed in YAML")
