"""The concepts of a policy: prompts, a head or a classifier's output, and how they become one score per view."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

from serve_app.domain import CLASSIFIERS, HEAD_DIGEST_CHARS, head_label, is_head, output_label, output_of
from serve_app.policy import consistency
from serve_app.policy.diagnostics import did_you_mean, quote
from serve_app.policy.document import ListValue, MappingValue, ScalarValue, Value, describe
from serve_app.policy.fields import choice_reader, name_reader, read_number, text_reader, wrong
from serve_app.policy.mappings import KnownConcept, Reading, Several, key_problems, require_mapping

MAX_PROMPT_CHARS = 300
"""CLIP reads 77 tokens, at most about this many characters, and cuts the rest off without a warning."""

MAX_FILE_CHARS = 1000

_NAME = "a name starts with a-z and continues with a-z, 0-9 and _; it has at most 64 characters"
_OF_CLASSIFIER = {"score": True, "model": True, "output": True}
_OF_HEAD = {"score": True, "file": True, "digest": True}
_OF_PROMPTS = {"score": True, "prompts": True, "counter_prompts": False}
_OF_ANY = (*_OF_PROMPTS, *_OF_CLASSIFIER, *_OF_HEAD)
_HEAD_DIGEST = (
    f"the sha256 of the head's file, as `pictwarden train` prints it: all 64 characters, or at least the first "
    f"{HEAD_DIGEST_CHARS}"
)


class ScoreKind(enum.StrEnum):
    """How a concept's prompts, a head or a classifier's output become one score per view."""

    COSINE = "cosine"
    CONTRAST = "contrast"
    MARGIN = "margin"
    CLASSIFIER = "classifier"
    HEAD = "head"

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest score there is, both included."""
        match self:
            case ScoreKind.COSINE:
                return -1.0, 1.0
            case ScoreKind.CONTRAST | ScoreKind.CLASSIFIER | ScoreKind.HEAD:
                return 0.0, 1.0
            case ScoreKind.MARGIN:
                return -2.0, 2.0


def _prompt(value: Value) -> Value:
    if isinstance(value, MappingValue):
        hint = "quote a text that contains ': '; thresholds of prompts go with score: margin"
        raise wrong(value, "a prompt must be text, found a mapping", hint)
    if isinstance(value, ScalarValue) and (known := output_of(value.strip())):
        hint = "write score: classifier, model: {}, output: {}".format(*known)
        raise wrong(value, f"{quote(value.strip())} is a classifier's output, and cannot be a prompt", hint)
    if isinstance(value, ScalarValue) and is_head(value.strip()):
        raise wrong(value, f"{quote(value.strip())} is a head, and cannot be a prompt", "write score: head")
    return value


def _classifier(value: Value) -> str:
    if not isinstance(value, ScalarValue) or not value:
        raise wrong(value, f"'model' must be the name of a classifier, found {describe(value)}")
    if value not in CLASSIFIERS:
        hint = did_you_mean(value, CLASSIFIERS, f"the classifiers are: {', '.join(CLASSIFIERS)}")
        raise wrong(value, f"unknown classifier {quote(value)}", hint)
    return str(value)


def _output(value: Value, info: ValidationInfo[Reading]) -> str:
    if not isinstance(value, ScalarValue) or not value:
        raise wrong(value, f"'output' must be the name of a classifier's output, found {describe(value)}")
    classifier = info.data.get("model")  # None where it is wrong, which is an error already
    if classifier is not None and value not in CLASSIFIERS[classifier]:
        outputs = CLASSIFIERS[classifier]
        hint = did_you_mean(value, outputs, f"the outputs of {classifier} are: {', '.join(outputs)}")
        raise wrong(value, f"{classifier} has no output {quote(value)}", hint)
    return str(value)


def _beside_policy(written: str, info: ValidationInfo[Reading]) -> Path:
    # As written where the home of its user is not known: opening it then says that it is not there.
    return info.context.folder / os.path.expanduser(written)  # noqa: PTH111 - pathlib's raises


def _threshold(value: Value) -> float:
    return read_number(value, "the threshold of a prompt", -1.0, 1.0, "cosines are in -1..1")


_DIGEST = name_reader("the digest of a head", f"[0-9a-fA-F]{{{HEAD_DIGEST_CHARS},64}}", _HEAD_DIGEST)
Prompts = Several[Annotated[str, text_reader("a prompt", MAX_PROMPT_CHARS), BeforeValidator(_prompt)]]
Thresholds = tuple[Several[Annotated[float, BeforeValidator(_threshold)]], ...]


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that a view can depict, said in prompts, or known by a classifier or a head.

    ``counter_prompts`` are for contrast, which needs them. ``thresholds`` are for margin: one for each prompt, in the
    order of ``prompts``, in groups. The prompts of a group are wordings of one thing, and count once. ``model`` and
    ``output`` are for a classifier, ``file`` (absolute) and ``digest`` for a head; neither has prompts.
    """

    name: Annotated[str, name_reader("the name of a concept", "[a-z][a-z0-9_]{0,63}", _NAME)]
    score: Annotated[ScoreKind, choice_reader("'score'", *ScoreKind)]
    prompts: Prompts = ()
    counter_prompts: Prompts = ()
    thresholds: Thresholds = ()
    model: Annotated[str, BeforeValidator(_classifier)] | None = None
    output: Annotated[str, BeforeValidator(_output)] | None = None
    file: Annotated[Path, BeforeValidator(_beside_policy), text_reader("'file'", MAX_FILE_CHARS)] | None = None
    digest: Annotated[str, AfterValidator(str.lower), _DIGEST] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that its score is made of: its prompts, the head, or the classifier's output."""
        if self.digest is not None:
            return (head_label(self.name, self.digest),)
        if self.model is not None and self.output is not None:
            return (output_label(self.model, self.output),)
        return self.prompts + self.counter_prompts


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
    keys = _keys_of(kind, found)
    others = [key for key in _OF_ANY if key not in keys]
    info.context.report.diagnostics += [
        *key_problems(found, what, keys | dict.fromkeys(others, False), at=name.span),
        *consistency.of_keys_of_others(found, others if kind is not None else ()),
        *consistency.of_counter_prompts(name, found),
        *consistency.of_thresholds(found),
        *consistency.of_prompts(found),
    ]
    fields: dict[str, Any] = {"name": name, **{key: found[key] for key in keys if key in found}}
    groups = [item for item in prompts if isinstance(item, MappingValue) and item] if isinstance(prompts, list) else []
    if kind is ScoreKind.MARGIN and groups:
        fields["prompts"] = [prompt for group in groups for prompt in group.written.values()]
        fields["thresholds"] = [list(group.values()) for group in groups]
    return handler(fields)


def _keys_of(kind: ScoreKind | None, found: MappingValue) -> dict[str, bool]:
    """The keys of a concept; of a score that is wrong, those that are there tell which ones are missing."""
    if kind is ScoreKind.CLASSIFIER or (kind is None and "model" in found and "prompts" not in found):
        return _OF_CLASSIFIER
    if kind is ScoreKind.HEAD or (kind is None and "file" in found and "prompts" not in found):
        return _OF_HEAD
    return _OF_PROMPTS


Concepts = Annotated[Several[Annotated[Concept, WrapValidator(_read_concept)]], BeforeValidator(_entries)]
"""A mapping from names to concepts in the file, a tuple of concepts in the policy."""
