"""The classes of a policy: concepts (prompts, and how they are scored) and rules (a condition, and a verdict).

They are frozen and free of YAML. Pydantic makes them from the values of a file: the annotation of a field is its
reader, so a new field is one line. A new kind of condition is one class, its entries in :data:`Condition` and
``_FORM_OF_KEY``, and a case in evaluation. Objects made in code are not checked.
"""

from __future__ import annotations

import enum
import hashlib
import json
import unicodedata
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from serve_app.domain import ModelIdentity, PolicyError, Verdict
from serve_app.policy import consistency
from serve_app.policy.diagnostics import did_you_mean, quote
from serve_app.policy.document import MappingValue, ScalarValue, Value, describe
from serve_app.policy.fields import choice_reader, name_reader, read_number, text_reader, whole_number, wrong
from serve_app.policy.mappings import Reading, Several, key_problems, keys_of, mapping, require_mapping

DIGEST_SCHEMA = 1
"""Part of every policy digest. Raise it when the same file comes to mean something else, so that no earlier decision is
taken for a decision under the new meaning."""

MAX_PROMPT_CHARS = 300
"""CLIP reads 77 tokens, at most about this many characters, and cuts the rest off without a warning."""

MAX_MESSAGE_CHARS = 300
MAX_DESCRIPTION_CHARS = 4000
MAX_MODEL_CHARS = 300

_CONCEPT_NAME = "a name starts with a-z and continues with a-z, 0-9 and _; it has at most 64 characters"
_RULE = "it has the keys name, verdict, when and (optional) message"
_POLICY_NAME = "a name has at most 64 characters, all of a-z, 0-9 and -"
_RULE_NAME = "a name starts with a-z or 0-9 and continues with a-z, 0-9, _ and -; it has at most 64 characters"
_MODEL_DIGEST = name_reader(
    "a model digest",
    "[0-9a-fA-F]{12,64}",
    "the model's sha256 in hexadecimal: all 64 characters, or at least the first 12",
)


class ScoreKind(enum.StrEnum):
    """How a concept's prompts become one score per view."""

    COSINE = "cosine"
    CONTRAST = "contrast"

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest score there is, both included."""
        return (-1.0, 1.0) if self is ScoreKind.COSINE else (0.0, 1.0)


Prompts = Several[Annotated[str, text_reader("a prompt", MAX_PROMPT_CHARS)]]


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that a view can depict, said in prompts. ``counter_prompts`` are empty for cosine, not for contrast."""

    name: Annotated[str, name_reader("the name of a concept", "[a-z][a-z0-9_]{0,63}", _CONCEPT_NAME)]
    score: Annotated[ScoreKind, choice_reader("'score'", *ScoreKind)]
    prompts: Prompts
    counter_prompts: Prompts = ()


def _concept_entries(value: Value) -> list[tuple[ScalarValue, Value]]:
    """The names and bodies of the concepts, in the order of the file."""
    found = require_mapping(value, "'concepts'", "write NAME: {score: contrast, prompts: [...], ...} for each")
    if not found:
        raise wrong(found, "'concepts' must not be empty")
    return [(found.written[name], body) for name, body in found.items()]


def _read_concept(
    entry: tuple[ScalarValue, Value], handler: ValidatorFunctionWrapHandler, info: ValidationInfo[Reading]
) -> Any:
    """Read a concept as :func:`mapping` does, but its name is its key in the file."""
    name, body = entry
    info.context.concepts[name] = None
    what = f"concept {quote(name)}"
    found = require_mapping(body, what, "write score, prompts and, for contrast, counter_prompts")
    keys = {key: required for key, required in keys_of(Concept).items() if key != "name"}
    info.context.concepts[name] = next((kind for kind in ScoreKind if kind.value == found.get("score")), None)
    info.context.report.diagnostics += [
        *key_problems(found, what, keys, at=name.span),
        *consistency.of_counter_prompts(name, found),
        *consistency.of_prompts(found),
    ]
    return handler({"name": name, **{key: found[key] for key in keys if key in found}})


Concepts = Annotated[Several[Annotated[Concept, WrapValidator(_read_concept)]], BeforeValidator(_concept_entries)]
"""A mapping from names to concepts in the file, a tuple of concepts in the policy."""

_FORMS = "{concept: NAME, above: NUMBER}, {all: [...]}, {any: [...]} or {at_least: {count: N, of: [...]}}"
_HINT = f"it is one of {_FORMS}"


def _concept(value: Value, info: ValidationInfo[Reading]) -> str:
    if not isinstance(value, ScalarValue) or not value:
        raise wrong(value, f"'concept' must be the name of a concept, found {describe(value)}")
    known = info.context.concepts
    if value not in known:
        names = f"the concepts of this policy are: {', '.join(known)}" if known else "this policy has no concepts"
        raise wrong(value, f"unknown concept {quote(value)}", did_you_mean(value, known, names))
    return str(value)


def _threshold(value: Value, info: ValidationInfo[Reading]) -> float:
    kind = info.context.concepts.get(info.data.get("concept", ""))
    low, high = ScoreKind(kind or ScoreKind.COSINE).range  # of an unknown kind, the wider of the two ranges
    why = f"{kind} scores are in {low:g}..{high:g}" if kind is not None else "no score is outside this range"
    return read_number(value, "'above'", low, high, why)


def _count(value: Value) -> int:
    count = whole_number(value)
    if count is None:
        raise wrong(value, f"'count' must be a whole number, found {describe(value)}")
    return count


@dataclass(frozen=True, slots=True)
class Above:
    """Holds where the score of ``concept`` is strictly above ``threshold``."""

    form: ClassVar = "above"
    concept: Annotated[str, BeforeValidator(_concept)]
    threshold: Annotated[float, BeforeValidator(_threshold), Field(alias="above")]


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


_FORM_OF_KEY = {"concept": Above.form, **{kind.form: kind.form for kind in (Above, AllOf, AnyOf, AtLeast)}}


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
    ],
    Discriminator(_form),
    WrapValidator(_one_form),
]


def _not_accept(value: Value) -> Value:
    if isinstance(value, ScalarValue) and value == Verdict.ACCEPT.value:
        hint = "'accept' is the default and never outranks another verdict, so this rule would change nothing"
        raise wrong(value, "a rule cannot have the verdict 'accept'", hint)
    return value


def _description(value: Value) -> str | None:
    """Free text of any YAML type, the only text that may have several lines."""
    if not isinstance(value, ScalarValue):
        raise wrong(value, f"'description' must be text, found {describe(value)}")
    if len(value) > MAX_DESCRIPTION_CHARS:
        raise wrong(value, f"'description' has {len(value)} characters; the limit is {MAX_DESCRIPTION_CHARS}")
    if any(unicodedata.category(char) in {"Cc", "Cs"} and char not in "\t\r\n" for char in value):
        raise wrong(value, "'description' must not have control characters")
    return value.strip() or None


@dataclass(frozen=True, slots=True)
class Rule:
    """A verdict, and when to give it. ``message`` is None where the file has none."""

    name: Annotated[str, name_reader("the name of a rule", "[a-z0-9][a-z0-9_-]{0,63}", _RULE_NAME)]
    verdict: Annotated[Verdict, choice_reader("'verdict'", Verdict.REJECT, Verdict.FLAG), BeforeValidator(_not_accept)]
    when: Condition
    message: Annotated[str, text_reader("'message'", MAX_MESSAGE_CHARS)] | None = None

    @property
    def explanation(self) -> str:
        """The words for a person when this rule decides."""
        return self.message if self.message is not None else f"rule '{self.name}' holds ({self.verdict})"


@dataclass(frozen=True, slots=True)
class Policy:
    """Concepts and rules for one model, whose thresholds they are.

    ``labels`` are the distinct prompts, and the columns of :attr:`serve_app.domain.LabelScores.cosines`: first-seen
    order over the concepts *by name*. By name, and not by place in the file, so that policies of one digest have one
    order of columns: an ingress and a scorer that read two layouts of the same policy must not mix up labels.

    ``digest`` is the sha256 (hex) of what the policy means: comments, layout, the order of keys and the description do
    not change it; everything that can change a judgement, its message included, does.

    Raises:
        ValueError: without concepts or without rules there is nothing to evaluate.
    """

    name: Annotated[str, name_reader("the name of a policy", "[a-z0-9-]{1,64}", _POLICY_NAME), Field(alias="policy")]
    model: Annotated[str, text_reader("'model'", MAX_MODEL_CHARS)]
    concepts: Concepts
    rules: Several[Annotated[Rule, mapping(Rule, "a rule", _RULE)]]
    description: Annotated[str | None, BeforeValidator(_description)] = None
    model_digest: Annotated[str, AfterValidator(str.lower), _MODEL_DIGEST] | None = None
    labels: tuple[str, ...] = field(init=False, repr=False, compare=False)
    digest: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.concepts or not self.rules:
            raise ValueError("a policy needs at least one concept and one rule")
        # Computed once: both are read for every picture, and a slotted class cannot cache a property.
        object.__setattr__(self, "labels", _labels(self.concepts))
        object.__setattr__(self, "digest", _digest(self))

    def __str__(self) -> str:
        return f"{self.name}@{self.digest[:12]}"

    def require_model(self, identity: ModelIdentity) -> None:
        """Refuse to judge with another model than the one that the thresholds were measured with.

        Raises:
            PolicyError: the name, or the digest where the policy gives one, is another.
        """
        if identity.name != self.model:
            raise PolicyError(
                f"policy '{self.name}' is for the model '{self.model}', but the loaded model is '{identity.name}'. "
                f"Thresholds are never copied from one model to another: load '{self.model}', or choose a policy that "
                f"was made for '{identity.name}'."
            )
        weights_digest = identity.derived_from or identity.digest
        if self.model_digest is not None and not weights_digest.lower().startswith(self.model_digest):
            raise PolicyError(
                f"policy '{self.name}' is for the model '{self.model}' with the digest {self.model_digest}, but the "
                f"loaded model has the digest {weights_digest}. The same name with other weights is another model, "
                f"and thresholds are never copied from one model to another: load the weights that the policy names, "
                f"or measure the thresholds again and correct model_digest."
            )


def _by_name(concepts: tuple[Concept, ...]) -> list[Concept]:
    return sorted(concepts, key=lambda concept: concept.name)


def _labels(concepts: tuple[Concept, ...]) -> tuple[str, ...]:
    prompts = (prompt for concept in _by_name(concepts) for prompt in concept.prompts + concept.counter_prompts)
    return tuple(dict.fromkeys(prompts))


def _digest(policy: Policy) -> str:
    meaning = {
        "schema": DIGEST_SCHEMA,
        "policy": policy.name,
        "model": policy.model,
        "model_digest": policy.model_digest,
        "concepts": [
            [concept.name, concept.score, concept.prompts, concept.counter_prompts]
            for concept in _by_name(policy.concepts)
        ],
        "rules": [[rule.name, rule.verdict, rule.message, _meaning(rule.when)] for rule in policy.rules],
    }
    canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _meaning(part: Any) -> Any:
    """A condition as its form and its fields, for every kind of condition."""
    if isinstance(part, tuple):
        return [_meaning(each) for each in part]
    if hasattr(part, "form"):
        return [part.form, *(_meaning(getattr(part, each.name)) for each in fields(part))]
    return part + 0.0 if isinstance(part, float) else part  # adding 0.0 makes -0.0 and 0.0 the same text
