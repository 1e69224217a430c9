"""Keys of a YAML text, removed and renamed, with every other character left as it is.

A parser that writes what it has read would be less code. But ruamel.yaml, which keeps comments, counts the comment
above a key to the key before it: removing a key takes the explanation of the next one away and leaves the key's own
behind. Here the comment lines right above a key belong to it.

Forms that these functions do not know raise :class:`NotEditableError`. The caller compares the values before and after,
so that a text which they get wrong is never written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

KeyPath = Sequence[str | int]
"""Keys of mappings and places in sequences, from the root of the document."""

_STEP = 2


class NotEditableError(Exception):
    """The key is an alias's, or shares its line with something else."""


def has_key(text: str, path: KeyPath) -> bool:
    """Whether the text itself has the key: neither an alias nor a merge of mappings brings it."""
    return _entry(text, path) is not None


def remove_key(text: str, path: KeyPath, root: KeyPath) -> str:
    """The text without a key and the comment above it, and without the sections that are empty then.

    Args:
        text: a YAML document that has the key.
        path: of the key.
        root: of a mapping above it, which stays even if it is empty.

    Raises:
        NotEditableError: see there.
    """
    entry = _existing(text, path)
    siblings = entry.mapping.value
    if len(siblings) == 1 and len(path) > len(root) + 1:
        return remove_key(text, path[:-1], root)
    if not entry.mapping.flow_style:
        start, end = _lines_of(text, entry)
        if (entry.place == 0 or text[:start].endswith("\n\n")) and text[end:].startswith("\n"):
            end += 1  # one blank line between its neighbours, and none before the first of them
    elif entry.place + 1 < len(siblings):
        start, end = entry.start, siblings[entry.place + 1][0].start_mark.index
    else:
        start = _Entry(entry.mapping, entry.place - 1).end(text) if entry.place else entry.start
        end = entry.end(text)
    return text[:start] + text[end:]


def rename_key(text: str, path: KeyPath, new_path: KeyPath, root: KeyPath) -> str:
    """The text with a key, its value and its comment under another name, which may be in another section.

    Args:
        text: a YAML document that has ``path`` and does not have ``new_path``.
        path: of the key.
        new_path: its new one. Sections that are missing are added.
        root: of a mapping above both.

    Raises:
        NotEditableError: see there.
    """
    entry = _existing(text, path)
    depth, mapping = len(root), _existing(text, path[: len(root) + 1]).mapping
    while depth + 1 < len(new_path) and (found := _entry(text, new_path[: depth + 1])):
        if not isinstance(found.value, yaml.MappingNode) or not found.value.value:
            raise NotEditableError
        depth, mapping = depth + 1, found.value
    is_above = list(path[:depth]) == list(new_path[:depth])
    neighbour = _existing(text, path[: depth + 1]) if is_above else _Entry(mapping, len(mapping.value) - 1)
    sections, name = [str(part) for part in new_path[depth:-1]], str(new_path[-1])
    if mapping.flow_style:
        at = neighbour.end(text)
        added = f"{name}: {entry.value_text(text)}"
        for section in reversed(sections):
            added = f"{section}: {{{added}}}"
        added = f", {added}"
    else:
        at = _lines_of(text, neighbour)[1]
        column = mapping.value[0][0].start_mark.column
        end_of_line = "\r\n" if "\r\n" in text else "\n"
        heads = [f"{' ' * (column + _STEP * level)}{section}:{end_of_line}" for level, section in enumerate(sections)]
        added = "".join(heads) + _lines_under(text, entry, name, column + _STEP * len(sections), end_of_line)
        if not text[:at].endswith("\n"):
            added = end_of_line + added
    return remove_key(text[:at] + added + text[at:], path, root)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One key of a mapping, with its value."""

    mapping: yaml.MappingNode
    place: int

    @property
    def key(self) -> yaml.Node:
        key: yaml.Node = self.mapping.value[self.place][0]
        return key

    @property
    def value(self) -> yaml.Node:
        value: yaml.Node = self.mapping.value[self.place][1]
        return value

    @property
    def start(self) -> int:
        return _index(self.key.start_mark)

    def end(self, text: str) -> int:
        """Where its value ends."""
        return _end(text, self.value, after=_index(self.key.end_mark))

    def value_text(self, text: str) -> str:
        return text[_index(self.value.start_mark) : self.end(text)]


def _index(mark: yaml.Mark) -> int:
    index: int = mark.index
    return index


def _end(text: str, node: yaml.Node, after: int) -> int:
    """Where the text of a node ends: PyYAML's own mark of a block lies behind the comments that follow it."""
    start, end = _index(node.start_mark), _index(node.end_mark)
    if start < after:
        raise NotEditableError  # an alias: its node is where its anchor is
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last, after=start)
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return len(text[:end].rstrip())
    return end


def _entry(text: str, path: KeyPath) -> _Entry | None:
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise NotEditableError from error  # it was YAML before it was edited
    entry = None
    for part in path:
        if isinstance(part, int):
            node = node.value[part] if isinstance(node, yaml.SequenceNode) and part < len(node.value) else None
            entry = None
            continue
        if not isinstance(node, yaml.MappingNode):
            return None
        places = [place for place, (key, _) in enumerate(node.value) if key.value == part]
        if not places:
            return None
        entry = _Entry(node, places[0])
        node = entry.value
    return entry


def _existing(text: str, path: KeyPath) -> _Entry:
    if (entry := _entry(text, path)) is None:
        raise NotEditableError
    return entry


def _lines_of(text: str, entry: _Entry) -> tuple[int, int]:
    """From the first line of the comment above a key of a block to the end of its value's last line."""
    start, end = text.rfind("\n", 0, entry.start) + 1, entry.end(text)
    line_end = text.find("\n", end) + 1 or len(text)
    behind = text[end:line_end].strip()
    if text[start : entry.start].strip(" ") or (behind and not behind.startswith("#")):
        raise NotEditableError
    while start and text[text.rfind("\n", 0, start - 1) + 1 : start].lstrip().startswith("#"):
        start = text.rfind("\n", 0, start - 1) + 1
    return start, line_end


def _lines_under(text: str, entry: _Entry, name: str, column: int, end_of_line: str) -> str:
    """The lines of an entry under another name, from another column."""
    if entry.mapping.flow_style:
        return f"{' ' * column}{name}: {entry.value_text(text)}{end_of_line}"
    start, end = _lines_of(text, entry)
    lines = text[start : entry.start] + name + text[_index(entry.key.end_mark) : end]
    by = column - entry.key.start_mark.column
    moved = "".join(" " * by + line if by >= 0 else _outdented(line, -by) for line in lines.splitlines(keepends=True))
    return moved if moved.endswith("\n") else moved + end_of_line


def _outdented(line: str, by: int) -> str:
    return line[min(by, len(line) - len(line.lstrip(" "))) :]
