"""Mappings of a policy file become frozen dataclasses: pydantic reads the fields, every error becomes a diagnostic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import Field, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator
from pydantic.fields import FieldInfo

from serve_app.policy.diagnostics import Diagnostic, Report, Span, did_you_mean, nearest, quote
from serve_app.policy.document import MappingValue, Value, describe
from serve_app.policy.fields import wrong

Item = TypeVar("Item")
Several = Annotated[tuple[Item, ...], Field(min_length=1)]
"""A list of the file that must not be empty."""


@dataclass(frozen=True, slots=True)
class KnownConcept:
    """A concept that a condition may name, with its kind of score and the number of its prompts (wordings count once).

    None stands for a score that is wrong: the concept counts as known, because an error where it is used would only
    repeat the first one.
    """

    score: str | None
    prompts: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of reading one file, which pydantic passes to each reader as ``info.context``.

    ``folder`` is that of the file, from which it names other files. ``concepts`` and the keys of ``conditions`` are
    those that a condition may name so far.
    """

    report: Report
    folder: Path
    concepts: dict[str, KnownConcept] = field(default_factory=dict)
    conditions: dict[str, None] = field(default_factory=dict)


def mapping(
    kind: type,
    what: str,
    hint: str,
    across: Callable[[MappingValue], Iterable[Diagnostic]] = lambda _: (),
    needs: Callable[[MappingValue], Mapping[str, bool]] = lambda _: {},
) -> WrapValidator:
    """Read a mapping whose keys are the fields of the dataclass ``kind``.

    Args:
        kind: annotated with the readers of its fields.
        what: how a message calls the mapping, for instance "a rule".
        hint: how it is written.
        across: finds the fields that do not fit each other, in the mapping as it is written in the file.
        needs: of keys for which that depends on the mapping, whether each must be there.
    """

    def read(value: Value, handler: ValidatorFunctionWrapHandler, info: ValidationInfo[Reading]) -> Any:
        found = require_mapping(value, what, hint)
        # Noted and not raised, so that the errors inside the fields are reported as well.
        info.context.report.diagnostics += [
            *key_problems(found, what, {**keys_of(kind), **needs(found)}),
            *across(found),
        ]
        return handler({key: found[key] for key in keys_of(kind) if key in found})

    return WrapValidator(read)


def require_mapping(value: Value, what: str, hint: str) -> MappingValue:
    """The value, which must be a mapping."""
    if isinstance(value, MappingValue):
        return value
    raise wrong(value, f"{what} must be a mapping, found {describe(value)}", hint)


@cache
def keys_of(kind: type) -> dict[str, bool]:
    """The keys that a file gives for the fields of a dataclass, and whether each must be there."""
    hints = get_type_hints(kind, include_extras=True)
    keys = {}
    for each in fields(kind):
        if each.init:
            metadata = getattr(hints[each.name], "__metadata__", ())
            alias = next((info.alias for info in metadata if isinstance(info, FieldInfo) and info.alias), each.name)
            keys[alias] = each.default is MISSING
    return keys


def key_problems(
    found: MappingValue, what: str, keys: dict[str, bool], at: Span | None = None, otherwise: str | None = None
) -> Iterator[Diagnostic]:
    """Every unknown key, and every required key that is missing (reported at ``at``, by default where ``what`` starts).

    A misspelt key is not also reported as missing.
    """
    unknown = [key for key in found.written.values() if key not in keys]
    for key in unknown:
        hint = did_you_mean(key, keys, otherwise or f"the keys of {what} are: {', '.join(keys)}")
        yield Diagnostic(key.span, f"unknown key {quote(key)} in {what}", hint)
    meant = {nearest(key, keys) for key in unknown}
    for name, required in keys.items():
        if required and name not in found and name not in meant:
            yield Diagnostic(at or found.span, f"{what} lacks the key '{name}'")


def diagnostics(error: ValidationError) -> Iterator[Diagnostic]:
    """The errors that pydantic has collected; those of our own readers are diagnostics already."""
    for line in error.errors(include_url=False):
        kind, value = line["type"], line["input"]
        if kind == "diagnostic":
            yield line["ctx"]["diagnostic"]
        elif kind == "tuple_type":
            message = f"'{line['loc'][-1]}' must be a list, found {describe(value)}"
            yield Diagnostic(value.span, message, "write [one, two], or '- one' lines")
        elif kind == "too_short" and not value:  # not of a list whose every item is wrong
            yield Diagnostic(value.span, f"'{line['loc'][-1]}' must not be empty")
        elif kind not in {"too_short", "missing"}:  # key_problems() reports missing keys
            yield Diagnostic(value.span, f"'{line['loc'][-1]}': {line['msg']}")
