"""Readers of single values, for the annotations of a policy's fields: names, texts, choices and numbers.

Each checks a value as it is written in the file, and raises :func:`wrong` with the message for people.
"""

from __future__ import annotations

import enum
import math
import re
import unicodedata
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from serve_app.policy.diagnostics import Diagnostic, did_you_mean, quote
from serve_app.policy.document import ScalarValue, Value, describe

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.?(inf|infinity|nan)", re.IGNORECASE)
_WHOLE = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)


def wrong(value: Value, message: str, hint: str | None = None) -> PydanticCustomError:
    """The error to raise for ``value``: a diagnostic in the shape in which pydantic collects it."""
    return PydanticCustomError("diagnostic", "{diagnostic}", {"diagnostic": Diagnostic(value.span, message, hint)})


def name_reader(what: str, pattern: str, rule: str) -> BeforeValidator:
    """Read a name that fully matches ``pattern``; ``rule`` says the pattern in words.

    The YAML type does not matter: ``no`` is a fine name for a concept, and a digest may be all digits.
    """

    def read(value: Value) -> str:
        if not isinstance(value, ScalarValue) or value.kind == "nothing":
            raise wrong(value, f"{what} must be text, found {describe(value)}")
        if not re.fullmatch(pattern, value):
            raise wrong(value, f"{quote(value)} cannot be {what}", rule)
        return str(value)

    return BeforeValidator(read)


def text_reader(what: str, max_chars: int) -> BeforeValidator:
    """Read one line of text, without the blanks around it."""

    def read(value: Value) -> str:
        if not isinstance(value, ScalarValue) or value.kind != "text":
            quotable = isinstance(value, ScalarValue) and value.kind != "nothing"
            hint = f'put it in quotes: "{value}"' if quotable else None
            raise wrong(value, f"{what} must be text, found {describe(value)}", hint)
        text = value.strip()
        if not text:
            raise wrong(value, f"{what} must not be empty")
        if len(text) > max_chars:
            raise wrong(value, f"{what} has {len(text)} characters; the limit is {max_chars}")
        if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text):
            raise wrong(value, f"{what} must be a single line without control characters")
        return text

    return BeforeValidator(read)


def choice_reader(what: str, *choices: enum.StrEnum, others: tuple[str, ...] = ()) -> BeforeValidator:
    """Read one of a few words; ``others`` are supported too, and are read elsewhere."""
    by_word = {choice.value: choice for choice in choices}

    def read(value: Value) -> enum.StrEnum:
        hint = f"supported: {', '.join([*by_word, *others])}"
        if not isinstance(value, ScalarValue) or not value:
            raise wrong(value, f"{what} cannot be {describe(value)}", hint)
        if value not in by_word:
            raise wrong(value, f"{what} cannot be {quote(value)}", did_you_mean(value, by_word, hint))
        return by_word[value]

    return BeforeValidator(read)


def read_number(value: Value, what: str, low: float, high: float, why: str) -> float:
    """Read a finite number in ``low..high``, both included; ``why`` explains these bounds.

    Decimal numbers only, with or without an exponent: YAML 1.1 would take ``1e-3`` for text and ``1:30`` for 90.
    """
    written = value if isinstance(value, ScalarValue) else ""
    plain = isinstance(value, ScalarValue) and value.plain
    if plain and _NOT_FINITE.fullmatch(written):
        raise wrong(value, f"{what} must be a finite number, found {quote(written)}")
    if not plain or not _NUMBER.fullmatch(written):
        hint = "remove the quotes" if _NUMBER.fullmatch(written) else None
        raise wrong(value, f"{what} must be a decimal number, found {describe(value)}", hint)
    number = float(written)
    if not (low <= number <= high and math.isfinite(number)):
        raise wrong(value, f"{what} must be in {low:g}..{high:g}, found {written[:40]}", why)
    return number


def whole_number(value: Any) -> int | None:
    """The whole number (zero or more, at most nine digits) that ``value`` is, or None."""
    return int(value) if isinstance(value, ScalarValue) and value.plain and _WHOLE.fullmatch(value) else None
