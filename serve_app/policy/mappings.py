"""Mappings of a policy file to frozen dataclasses: pydantic reads the fields, and every error becomes a diagnostic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
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
class Reading:
    """What is known of a file while it is read: pydantic hands it to each reader as ``info.context``.

    ``concepts`` are those that a condition may name, each with how it is scored. None stands for a concept whose score
    is wrong: it is known all the same, because a second diagnostic where it is used would only repeat the first.
    """

    report: Report
    concepts: dict[str, str | None] = field(default_factory=dict)


def mapping(
    kind: type, what: str, hint: str, across: Callable[[MappingValue], Iterable[Diagnostic]] = lambda _: ()
) -> WrapValidator:
    """Reads a mapping whose keys are the fields of the dataclass ``kind``.

    Args:
        kind: annotated with the readers of its fields.
        what: how a message calls the mapping, for instance "a rule".
        hint: how it is written.
        across: finds what is wrong between the fields, in the mapping as it stands in the file.
    """

    def read(value: Value, handler: ValidatorFunctionWrapHandler, info: ValidationInfo[Reading]) -> Any:
        found = require_mapping(value, what, hint)
        # Noted and not raised, so that what is wrong inside the fields is told as well.
        info.context.report.diagnostics += [*key_problems(found, what, keys_of(kind)), *across(found)]
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
    """Every key that ``what`` does not have, and every key that it lacks (at ``at``, by default where it starts).

    A key that was only misspelt is not also told as lacking.
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
    """The lines of an error; those of our readers are diagnostics already."""
    for line in error.errors(include_url=False):
        kind, value = line["type"], line["input"]
        if kind == "diagnostic":
            yield line["ctx"]["diagnostic"]
        elif kind == "tuple_type":
            message = f"'{line['loc'][-1]}' must be a list, found {describe(value)}"
            yield Diagnostic(value.span, message, "write [one, two], or '- one' lines")
        elif kind == "too_short" and not value:  # not of a list whose every item is wrong
            yield Diagnostic(value.span, f"'{line['loc'][-1]}' must not be empty")
        elif kind not in {"too_short", "missing"}:  # key_problems() tells of what is missing
            yield Diagnostic(value.span, f"'{line['loc'][-1]}': {line['msg']}")
