"""The conditions of a policy: what must hold for a view, composed of concepts and of each other.

A new kind of condition is one class, its entries in :data:`Condition` and ``_FORM_OF_KEY``, and a case in evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from serve_app.policy import consistency
from serve_app.policy.concepts import ScoreKind
from serve_app.policy.diagnostics import did_you_mean, quote
from serve_app.policy.document import MappingValue, ScalarValue, Value, describe
from serve_app.policy.fields import name_reader, read_number, whole_number, wrong
from serve_app.policy.mappings import KnownConcept, Reading, Several, key_problems, mapping, require_mapping

_FORMS = (
    "{concept: NAME, above: NUMBER}, {all: [...]}, {any: [...]}, {at_least: {count: N, of: [...]}}, {not: {...}} "
    "or {condition: NAME}"
)
_HINT = f"it is one of {_FORMS}"
_NAME = "a name starts with a-z and continues with a-z, 0-9 and _; it has at most 64 characters"


def _known_name(value: Value, key: str, known: dict[str, Any], names: str, none: str) -> str:
    if not isinstance(value, ScalarValue) or not value:
        raise wrong(value, f"'{key}' must be the name of a {key}, found {describe(value)}")
    if value not in known:
        otherwise = f"{names}: {', '.join(known)}" if known else none
        raise wrong(value, f"unknown {key} {quote(value)}", did_you_mean(value, known, otherwise))
    return str(value)


def _concept(value: Value, info: ValidationInfo[Reading]) -> str:
    names, none = "the concepts of this policy are", "this policy has no concepts"
    return _known_name(value, "concept", info.context.concepts, names, none)


def _condition(value: Value, info: ValidationInfo[Reading]) -> str:
    # Only of those above, so that no condition can be made of itself.
    names, none = "the conditions above this one are", "no condition is named above this one, under 'conditions'"
    return _known_name(value, "condition", info.context.conditions, names, none)


def _named_concept(info: ValidationInfo[Reading]) -> KnownConcept:
    return info.context.concepts.get(info.data.get("concept", ""), KnownConcept(None))


def _threshold(value: Value, info: ValidationInfo[Reading]) -> float:
    kind = _named_concept(info).score
    low, high = ScoreKind(kind or ScoreKind.MARGIN).range  # of an unknown kind, the widest range
    why = f"{kind} scores are in {low:g}..{high:g}" if kind is not None else "no score is outside this range"
    return read_number(value, "'above'", low, high, why)


def _count(value: Value) -> int:
    count = whole_number(value)
    if count is None:
        raise wrong(value, f"'count' must be a whole number, found {describe(value)}")
    return count


def _count_of_prompts(value: Value, info: ValidationInfo[Reading]) -> int:
    count, known = _count(value), _named_concept(info)
    if known.score in {ScoreKind.CONTRAST, ScoreKind.CLASSIFIER, ScoreKind.HEAD}:
        hint = "remove 'count', or give the concept another score"
        of = " for all prompts" if known.score == ScoreKind.CONTRAST else ""
        raise wrong(value, f"a {known.score} score is one number{of} and cannot be counted", hint)
    if known.prompts and not 1 <= count <= known.prompts:
        hint = f"the concept has {known.prompts} prompt{'s' * (known.prompts > 1)}"
        raise wrong(value, f"'count' must be in 1..{known.prompts}, found {count}", hint)
    return count


@dataclass(frozen=True, slots=True)
class Above:
    """Holds where the score of ``concept`` is strictly above ``threshold``.

    With a ``count`` of more than one, at least ``count`` of its prompts must be.
    """

    form: ClassVar = "above"
    concept: Annotated[str, BeforeValidator(_concept)]
    threshold: Annotated[float, BeforeValidator(_threshold), Field(alias="above")]
    count: Annotated[int, BeforeValidator(_count_of_prompts)] = 1


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds where every condition of ``of`` does, on the same view."""

    form: ClassVar = "all"
    of: Annotated[Several[Condition], Field(alias="all")]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where one condition of ``of`` does or more."""

    form: ClassVar = "any"
    of: Annotated[Several[Condition], Field(alias="any")]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Holds where ``count`` conditions of ``of`` do or more, on the same view. 1 <= count <= len(of)."""

    form: ClassVar = "at_least"
    count: Annotated[int, BeforeValidator(_count)]
    of: Several[Condition]


@dataclass(frozen=True, slots=True)
class Not:
    """Holds exactly where ``of`` does not."""

    form: ClassVar = "not"
    of: Annotated[Condition, Field(alias="not")]


@dataclass(frozen=True, slots=True)
class Named:
    """Holds where the condition does that the policy has under this ``name``."""

    form: ClassVar = "condition"
    name: Annotated[str, BeforeValidator(_condition), Field(alias="condition")]


_FORM_OF_KEY = {"concept": Above.form, **{kind.form: kind.form for kind in (Above, AllOf, AnyOf, AtLeast, Not, Named)}}


def _one_form(value: Value, handler: ValidatorFunctionWrapHandler, info: ValidationInfo[Reading]) -> Any:
    """Let pass a mapping that has the keys of exactly one form."""
    found = require_mapping(value, "a condition", _HINT)
    keys = [key for key in found if key in _FORM_OF_KEY]
    if len({_FORM_OF_KEY[key] for key in keys}) > 1:
        message = f"a condition has exactly one form, found {', '.join(map(quote, keys))}"
        raise wrong(found, message, "nest them: all: [{any: [...]}, ...]")
    if not found:
        raise wrong(found, "a condition must not be empty", _HINT)
    if not keys:
        optional = dict.fromkeys(_FORM_OF_KEY, False)
        hint = f"a condition is one of {_FORMS}"
        info.context.report.diagnostics += key_problems(found, "a condition", optional, otherwise=hint)
        return None
    return handler(found)


def _form(found: MappingValue) -> str:
    return next(_FORM_OF_KEY[key] for key in found if key in _FORM_OF_KEY)


def _under_at_least(found: MappingValue, handler: ValidatorFunctionWrapHandler, info: ValidationInfo[Reading]) -> Any:
    info.context.report.diagnostics += key_problems(found, "a condition", {"at_least": True})
    return handler(found["at_least"])


Condition = Annotated[
    Annotated[Above, mapping(Above, "a condition", _HINT), Tag(Above.form)]
    | Annotated[AllOf, mapping(AllOf, "a condition", _HINT), Tag(AllOf.form)]
    | Annotated[AnyOf, mapping(AnyOf, "a condition", _HINT), Tag(AnyOf.form)]
    | Annotated[
        AtLeast,
        mapping(AtLeast, "'at_least'", "write at_least: {count: 2, of: [...]}", across=consistency.of_count),
        WrapValidator(_under_at_least),
        Tag(AtLeast.form),
    ]
    | Annotated[Not, mapping(Not, "a condition", _HINT), Tag(Not.form)]
    | Annotated[Named, mapping(Named, "a condition", _HINT), Tag(Named.form)],
    Discriminator(_form),
    WrapValidator(_one_form),
]


@dataclass(frozen=True, slots=True)
class NamedCondition:
    """A condition that others use by its name."""

    name: Annotated[str, name_reader("the name of a condition", "[a-z][a-z0-9_]{0,63}", _NAME)]
    when: Condition


def _entries(value: Value) -> list[tuple[ScalarValue, Value]]:
    """The names and conditions, in the order of the file."""
    found = require_mapping(value, "'conditions'", "write NAME: {all: [...]}, or another condition, for each")
    if not found:
        raise wrong(found, "'conditions' must not be empty")
    return [(found.written[name], when) for name, when in found.items()]


def _read_named(
    entry: tuple[ScalarValue, Value], handler: ValidatorFunctionWrapHandler, info: ValidationInfo[Reading]
) -> Any:
    name, when = entry
    try:
        return handler({"name": name, "when": when})
    finally:
        # Known to those below even if it is wrong, because an error where it is used would only repeat the first one.
        info.context.conditions[name] = None


Conditions = Annotated[Several[Annotated[NamedCondition, WrapValidator(_read_named)]], BeforeValidator(_entries)]
"""A mapping from names to conditions in the file, a tuple in the policy. Each is made of those above it."""
