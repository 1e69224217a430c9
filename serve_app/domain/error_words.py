"""Errors in words, for the lines that an operator reads: what failed, without the name of a class."""

from __future__ import annotations

import re
import traceback
from functools import singledispatch
from pathlib import Path

from serve_app.domain.errors import PictwardenError

_MOST_PLACES = 3

_ANY_ERROR = re.compile(r"^(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt): *(?=\S)")


def last_words(text: str) -> str:
    """The last line of what another process printed, without the name of an error's class; empty if it printed none."""
    lines = text.strip().splitlines() or [""]
    return _ANY_ERROR.sub("", lines[-1].strip())


@singledispatch
def in_words(error: BaseException) -> str:
    """What failed, for a log line. A room adds the errors of its library with ``in_words.register``.

    Of an error that nobody foresaw only the places are told, the innermost last: its text may hold anything, parts of a
    picture or of a row included.
    """
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_PLACES:]
    places = ", ".join(f"{Path(each.filename).name}:{each.lineno}" for each in frames)
    return f"a fault of this program at {places}" if places else "a fault of this program"


@in_words.register
def _(error: PictwardenError) -> str:
    return str(error)


@in_words.register
def _(error: OSError) -> str:
    # The text of one that a library makes may hold anything; that of the system is fixed.
    unknown = "the connection failed" if isinstance(error, ConnectionError) else "the system refused it"
    return (error.strerror or unknown).lower()


@in_words.register
def _(_: TimeoutError) -> str:
    return "no answer in time"


@in_words.register
def _(_: MemoryError) -> str:
    return "no memory is left"
