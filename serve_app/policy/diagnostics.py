"""The errors of a policy file, as they are shown: file, line, column, the line itself, carets, a hint.

They look like a compiler's, which people who edit policies know how to read. All errors of a file are collected and
shown together, so that one round of corrections is enough.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.cells import cell_len

from serve_app.domain import PolicyError

MAX_SHOWN = 20
"""Diagnostics shown at most; a file of the wrong kind would otherwise fill the terminal and hide the first of them."""

MAX_LINE_CHARS = 160
"""Longer source lines are shown as a window around the carets."""

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""Exactly the line breaks of YAML 1.1 (section 4.2)."""

_MAX_QUOTED_CHARS = 60


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of one source line. ``line`` and ``column`` count characters from 1; ``width`` may be 0."""

    line: int
    column: int
    width: int = 0


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem, where it is, and (where we know it) the way out."""

    span: Span
    message: str
    hint: str | None = None


@dataclass(slots=True)
class Report:
    """Collects the diagnostics of one file. ``file_name`` is what the reader is shown; nothing is opened by it."""

    file_name: str
    text: str
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def error(self, span: Span, message: str, hint: str | None = None) -> None:
        """Note a problem and go on, so that later ones are found too."""
        self.diagnostics.append(Diagnostic(span, message, hint))

    def refusal(self, span: Span, message: str, hint: str | None = None) -> PolicyError:
        """The error to raise for a problem after which there is nothing more to read."""
        self.error(span, message, hint)
        return self.failure()

    def failure(self) -> PolicyError:
        """Everything noted so far, rendered in order of position, as the error to raise."""
        in_order = sorted(self.diagnostics, key=lambda diagnostic: diagnostic.span)
        lines = LINE_BREAK.split(self.text)
        parts = [_render(self.file_name, lines, diagnostic) for diagnostic in in_order[:MAX_SHOWN]]
        if len(in_order) > 1:
            hidden = f" (the first {MAX_SHOWN} are shown)" if len(in_order) > MAX_SHOWN else ""
            parts.append(f"{self.file_name}: {len(in_order)} errors{hidden}")
        return PolicyError("\n".join(parts))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that ``name`` was probably meant to be, None when none is near."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint: the nearest of the known names, when one is near, and in any case the clause ``otherwise``."""
    guess = nearest(name, known)
    return f"did you mean '{guess}'? {otherwise[0].upper()}{otherwise[1:]}" if guess is not None else otherwise


def quote(text: str) -> str:
    """A value of the file as it stands in a message: quoted, on one line, and not too long."""
    shown = _shown(text)
    if len(shown) > _MAX_QUOTED_CHARS:
        shown = shown[: _MAX_QUOTED_CHARS - 3] + "..."
    return f"'{shown}'"


def _render(file_name: str, lines: list[str], diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    rendered = [f"{file_name}:{span.line}:{span.column}: error: {diagnostic.message}"]
    source = lines[span.line - 1] if span.line <= len(lines) else ""
    if source.strip():
        shown, padding, carets = _excerpt(source, span)
        rendered.append(f"{span.line:>5} | {shown}")
        rendered.append(f"{'':>5} | {' ' * padding}{'^' * carets}")
    if diagnostic.hint is not None:
        rendered.append(f"   hint: {diagnostic.hint}")
    return "\n".join(rendered)


def _excerpt(source: str, span: Span) -> tuple[str, int, int]:
    """The line as shown, the terminal columns before the carets, and the number of carets."""
    start = min(span.column - 1, len(source))
    end = max(start, min(start + span.width, len(source.rstrip())))
    first = max(0, min(start - MAX_LINE_CHARS // 4, len(source) - MAX_LINE_CHARS))
    last = min(len(source), first + MAX_LINE_CHARS)
    before = "..." if first else ""
    after = "..." if last < len(source) else ""
    shown = _shown(source[first:last]).rstrip()
    padding = len(before) + cell_len(_shown(source[first:start]))
    return before + shown + after, padding, max(1, cell_len(_shown(source[start : min(end, last)])))


def _shown(text: str) -> str:
    """A tab as an arrow (it is often the mistake); a control character, which must not reach a terminal, as U+FFFD."""
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return "".join("\ufffd" if unicodedata.category(char) in hidden else char for char in text.replace("\t", "→"))
