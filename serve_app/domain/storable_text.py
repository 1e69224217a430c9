"""Texts that people and files give."""

from __future__ import annotations

import re

# PostgreSQL stores no NUL, and UTF-8 has no half of a surrogate pair.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def require_storable(text: str) -> str:
    """``text``, if every database can store it.

    Raises:
        ValueError: with a message for people.
    """
    if _UNSTORABLE.search(text):
        raise ValueError("a text has a character that cannot be stored: NUL, or half of a surrogate pair")
    return text


def printable(text: str) -> str:
    """``text``, with escapes for what a terminal would not show, or would obey."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def escaped(text: str) -> str:
    """``text``, with escapes for the characters that a database could not store."""
    return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
