"""The commands that the documentation tells a reader to give, and what it shows of their output.

A fence says what it holds: ``sh`` commands, ``console`` a session (lines that begin with ``$``, and their output).
Every other kind is no command. Commands in the text stand between backticks.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = tuple(
    str(each.relative_to(ROOT))
    for each in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])
    if each.name not in {"CHANGELOG.md"}
)
"""Every page that a user or a contributor reads; docs/adr tells what was, and its commands may be gone."""

_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
_MENTION = re.compile(r"(?<!`)`(?P<command>[^`\n]+(?:\n[^`\n]+)?)`(?!`)")
_COMMENT = re.compile(r"(^|\s+)# .*$", re.MULTILINE)
_PROGRAMS = re.compile(r"(\w+=\S+ )*(\S+/bin/)?(pictwarden|make|python -m) ")


@dataclass(frozen=True, slots=True)
class Fence:
    """What stands between two rows of backticks.

    Attributes:
        page: relative to the repository.
        line: of the opening row.
        kind: the word behind the backticks, or an empty text.
        body: between the rows.
    """

    page: str
    line: int
    kind: str
    body: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_of_commands(self) -> bool:
        """Whether a reader is to give what stands there."""
        return self.kind in {"sh", "console"}

    def steps(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each command, in its order, with the lines that it prints; a fence of ``sh`` is one, and shows none."""
        if self.kind == "sh":
            yield self.body, ()
            return
        for part in re.split(r"^\$ ", self.body, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, tuple(output.splitlines())

    def lines(self) -> list[str]:
        """The commands without their comments, one a line; what a backslash continues is one."""
        return [
            " ".join(line.split())
            for command, _ in self.steps()
            for line in _COMMENT.sub("", command.replace("\\\n", " ")).splitlines()
            if line.strip()
        ]


def fences(page: str) -> list[Fence]:
    """Those of a page, in its order."""
    text = (ROOT / page).read_text("utf-8")
    return [
        Fence(page, text.count("\n", 0, each.start()) + 1, each["kind"], textwrap.dedent(each["body"]))
        for each in _FENCE.finditer(text)
    ]


def commands_of(page: str) -> list[Fence]:
    """The fences of a page with commands, in its order."""
    return [each for each in fences(page) if each.is_of_commands]


def words_of_commands(page: str) -> list[list[str]]:
    """The words of each command of our programs on a page, in fences and in the text, without its comments."""
    text = (ROOT / page).read_text("utf-8")
    lines = [line for fence in commands_of(page) for line in fence.lines()]
    mentions = [each["command"].replace("\n", " ") for each in _MENTION.finditer(_FENCE.sub("", text))]
    parts = [part.strip() for line in [*lines, *mentions] for part in re.split(r" && | \| ", line)]
    return [_without_redirection(shlex.split(part)) for part in parts if _PROGRAMS.match(f"{part} ")]


def _without_redirection(words: list[str]) -> list[str]:
    assignments = sum(1 for _ in _leading_assignments(words))
    words = words[assignments:]
    return words[: words.index(">")] if ">" in words else words


def _leading_assignments(words: list[str]) -> Iterator[str]:
    for word in words:
        if not re.match(r"\w+=", word):
            return
        yield word
