"""The concepts of a policy: prompts, and how their cosines become one score per view."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

from serve_app.policy import consistency
from serve_app.policy.diagnostics import quote
from serve_app.policy.document import ListValue, MappingValue, ScalarValue, Value
from serve_app.policy.fields import choice_reader, name_reader, read_number, text_reader, wrong
from serve_app.policy.mappings import KnownConcept, Reading, Several, key_problems, require_mapping

MAX_PROMPT_CHARS = 300
"""CLIP reads 77 tokens, at most about this many characters, and cuts the rest off without a warning."""

_NAME = "a name starts with a-z and continues with a-z, 0-9 and _; it has at most 64 characters"
_KEYS = {"score": True, "prompts": True, "counter_prompts": False}


class ScoreKind(enum.StrEnum):
    """How a concept's prompts become one score per view."""

    COSINE = "cosine"
    CONTRAST = "contrast"
    MARGIN = "margin"

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest score there is, both included."""
        match self:
            case ScoreKind.COSINE:
                return -1.0, 1.0
            case ScoreKind.CONTRAST:
                return 0.0, 1.0
            case ScoreKind.MARGIN:
                return -2.0, 2.0


def _prompt(value: Value) -> Value:
    if isinstance(value, MappingValue):
        hint = "quote a text that contains ': '; thresholds of prompts go with score: margin"
        raise wrong(value, "a prompt must be text, found a mapping", hint)
    return value


def _threshold(value: Value) -> float:
    return read_number(value, "the threshold of a prompt", -1.0, 1.0, "cosines are in -1..1")


Prompts = Several[Annotated[str, text_reader("a prompt", MAX_PROMPT_CHARS), BeforeValidator(_prompt)]]
Thresholds = tuple[Several[Annotated[float, BeforeValidator(_threshold)]], ...]


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that a view can depict, said in prompts.

    ``counter_prompts`` are for contrast, which needs them. ``thresholds`` are for margin: one for each prompt, in the
    order of ``prompts``, in groups. The prompts of a group are wordings of one thing, and count once.
    """

    name: Annotated[str, name_reader("the name of a concept", "[a-z][a-z0-9_]{0,63}", _NAME)]
    score: Annotated[ScoreKind, choice_reader("'score'", *ScoreKind)]
    prompts: Prompts
    counter_prompts: Prompts = ()
    thresholds: Thresholds = ()


def _entries(value: Value) -> list[tuple[ScalarValue, Value]]:
    """The names and bodies of the concepts, in the order of the file."""
    found = require_mapping(value, "'concepts'", "write NAME: {score: contrast, prompts: [...], ...} for each")
    if not found:
        raise wrong(found, "'concepts' must not be empty")
    return [(found.written[name], body) for name, body in found.items()]


def _read_concept(
    entry: tuple[ScalarValue, Value], handler: ValidatorFunctionWrapHandler, info: ValidationInfo[Reading]
) -> Any:
    """Read a concept as :func:`serve_app.policy.mappings.mapping` does, but its name is its key in the file."""
    name, body = entry
    info.context.concepts[name] = KnownConcept(None)
    what = f"concept {quote(name)}"
    found = require_mapping(body, what, "write score, prompts and, for contrast, counter_prompts")
    kind = next((kind for kind in ScoreKind if kind.value == found.get("score")), None)
    prompts = found.get("prompts")
    info.context.concepts[name] = KnownConcept(kind, len(prompts) if isinstance(prompts, ListValue) else 0)
    info.context.report.diagnostics += [
        *key_problems(found, what, _KEYS, at=name.span),
        *consistency.of_counter_prompts(name, found),
        *consistency.of_thresholds(found),
        *consistency.of_prompts(found),
    ]
    fields: dict[str, Any] = {"name": name, **{key: found[key] for key in _KEYS if key in found}}
    groups = [item for item in prompts if isinstance(item, MappingValue) and item] if isinstance(prompts, list) else []
    if kind is ScoreKind.MARGIN and groups:
        fields["prompts"] = [prompt for group in groups for prompt in group.written.values()]
        fields["thresholds"] = [list(group.values()) for group in groups]
    return handler(fields)


Concepts = Annotated[Several[Annotated[Concept, WrapValidator(_read_concept)]], BeforeValidator(_entries)]
"""A mapping from names to concepts in the file, a tuple of concepts in the policy."""
