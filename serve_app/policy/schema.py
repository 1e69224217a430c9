"""The classes of a policy: concepts (:mod:`.concepts`), conditions (:mod:`.conditions`), and rules that give verdicts.

They are frozen and free of YAML. Pydantic makes them from the values of a file: the annotation of a field is its
reader, so a new field is one line. Objects made in code are not checked.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidatorFunctionWrapHandler, WrapValidator

from serve_app.domain import HeadFile, ModelIdentity, PolicyError, Verdict
from serve_app.policy.calibrated import Calibration, CalibrationReader
from serve_app.policy.concepts import Concept, Concepts, ScoreKind
from serve_app.policy.conditions import Condition, Conditions
from serve_app.policy.document import ListValue, MappingValue, ScalarValue, Value, describe
from serve_app.policy.fields import choice_reader, name_reader, text_reader, whole_number, wrong
from serve_app.policy.mappings import Several, mapping

DIGEST_SCHEMA = 1
"""Part of every policy digest. Raise it when the same file comes to mean something else, so that no earlier decision is
taken for a decision under the new meaning."""

MAX_COSINE_DECIMALS = 7
"""Cosines are float32, which has about seven decimals."""

MAX_MESSAGE_CHARS = 300
MAX_DESCRIPTION_CHARS = 4000
MAX_MODEL_CHARS = 300

_RULE = "it has the keys name, verdict, when and (optional) message"
_POLICY_NAME = "a name has at most 64 characters, all of a-z, 0-9 and -"
_RULE_NAME = "a name starts with a-z or 0-9 and continues with a-z, 0-9, _ and -; it has at most 64 characters"
_VERDICT = choice_reader("'verdict'", Verdict.REJECT, Verdict.FLAG, others=("off",))
_MODEL_DIGEST = name_reader(
    "a model digest",
    "[0-9a-fA-F]{12,64}",
    "the model's sha256 in hexadecimal: all 64 characters, or at least the first 12",
)


OFF = "off"
"""In place of a verdict: the rule stays in the file, and is not in the policy."""


def _not_accept(value: Value) -> Value:
    if isinstance(value, ScalarValue) and value == Verdict.ACCEPT.value:
        hint = "'accept' is the default and never outranks another verdict; a rule that is to change nothing has 'off'"
        raise wrong(value, "a rule cannot have the verdict 'accept'", hint)
    return value


def _unless_off(value: Value, handler: ValidatorFunctionWrapHandler) -> Any:
    """None for a rule that is off. It is read all the same, so that its errors show before somebody switches it on."""
    written = value.get("verdict") if isinstance(value, MappingValue) else None
    if not (isinstance(value, MappingValue) and isinstance(written, ScalarValue) and written == OFF):
        return handler(value)
    as_flag = MappingValue({**value, "verdict": written.with_text(Verdict.FLAG)})
    as_flag.span, as_flag.written = value.span, value.written
    handler(as_flag)
    return None


def _not_all_off(value: Value) -> Value:
    rules = value if isinstance(value, ListValue) else ()
    if rules and all(isinstance(rule, MappingValue) and rule.get("verdict") == OFF for rule in rules):
        raise wrong(value, "every rule is off, so that no picture would be judged", "give one of them another verdict")
    return value


def _decimals(value: Value) -> int:
    decimals = whole_number(value)
    if decimals is None or not 1 <= decimals <= MAX_COSINE_DECIMALS:
        message = f"'cosine_decimals' must be a whole number in 1..{MAX_COSINE_DECIMALS}, found {describe(value)}"
        raise wrong(value, message)
    return decimals


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
    verdict: Annotated[Verdict, _VERDICT, BeforeValidator(_not_accept)]
    when: Condition
    message: Annotated[str, text_reader("'message'", MAX_MESSAGE_CHARS)] | None = None

    @property
    def explanation(self) -> str:
        """The words for a person when this rule decides."""
        return self.message if self.message is not None else f"rule '{self.name}' holds ({self.verdict})"


def _without_off(rules: tuple[Rule | None, ...]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Concepts and rules for certain models, whose thresholds they are.

    ``model`` is that of the prompts and the heads, None where classifiers alone score.

    ``labels`` are the distinct ``prompts``, then the ``heads`` (whose values here are their files), then the distinct
    outputs of classifiers, and the columns of :attr:`serve_app.domain.LabelScores.values`: first-seen order over the
    concepts *by name*. By name, and not by place in the file, so that policies of one digest have one order of columns:
    an ingress and a scorer that read two layouts of the same policy must not mix up labels.

    ``digest`` is the sha256 (hex) of what the policy means: comments, layout, the order of keys, the description and
    the calibration do not change it; everything that can change a judgement, its message included, does.

    ``rules`` are those that are not off. ``cosine_decimals`` is None where cosines are compared as they are.

    Raises:
        ValueError: without concepts or without rules there is nothing to evaluate.
    """

    name: Annotated[str, name_reader("the name of a policy", "[a-z0-9-]{1,64}", _POLICY_NAME), Field(alias="policy")]
    model: Annotated[str, text_reader("'model'", MAX_MODEL_CHARS)] | None = None
    concepts: Concepts
    conditions: Conditions = ()
    rules: Annotated[
        Several[Annotated[Rule, mapping(Rule, "a rule", _RULE), WrapValidator(_unless_off)]],
        AfterValidator(_without_off),
        BeforeValidator(_not_all_off),
    ]
    cosine_decimals: Annotated[int, BeforeValidator(_decimals)] | None = None
    description: Annotated[str | None, BeforeValidator(_description)] = None
    model_digest: Annotated[str, AfterValidator(str.lower), _MODEL_DIGEST] | None = None
    calibration: Annotated[Calibration, CalibrationReader] | None = None
    prompts: tuple[str, ...] = field(init=False, repr=False, compare=False)
    heads: Mapping[str, HeadFile] = field(init=False, repr=False, compare=False)
    labels: tuple[str, ...] = field(init=False, repr=False, compare=False)
    digest: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.concepts or not self.rules:
            raise ValueError("a policy needs at least one concept and one rule")
        # Computed once: they are read for every picture, and a slotted class cannot cache a property.
        named = _by_name(self.concepts)
        of_outputs = _labels([concept for concept in named if concept.score is ScoreKind.CLASSIFIER])
        heads = {
            label: HeadFile(concept.file, concept.digest)
            for concept in named
            if concept.file is not None and concept.digest is not None
            for label in concept.labels
        }
        without_prompts = (ScoreKind.CLASSIFIER, ScoreKind.HEAD)
        with_prompts = [concept for concept in named if concept.score not in without_prompts]
        object.__setattr__(self, "prompts", _labels(with_prompts))
        object.__setattr__(self, "heads", heads)
        object.__setattr__(self, "labels", (*self.prompts, *heads, *of_outputs))
        object.__setattr__(self, "digest", _digest(self))

    def __str__(self) -> str:
        return f"{self.name}@{self.digest[:12]}"

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose thresholds these are: that of the prompts, then the classifiers."""
        of_prompts = () if self.model is None else (self.model,)
        classifiers = (concept.model for concept in _by_name(self.concepts) if concept.model is not None)
        return of_prompts + tuple(dict.fromkeys(classifiers))

    def require_model(self, identity: ModelIdentity) -> None:
        """Refuse to judge with other models than those that the thresholds were measured with.

        Models beside these change nothing.

        Raises:
            PolicyError: a name, or a digest where the policy or its calibration gives one, is another.
        """
        loaded = {each.name: each for each in identity.each}
        missing = [name for name in self.models if name not in loaded]
        if missing:
            raise PolicyError(
                f"policy '{self.name}' is for the model{'s' * (len(self.models) > 1)} {_quoted(self.models)}, but the "
                f"loaded model is '{identity.name}'. Thresholds are never copied from one model to another: load "
                f"{_quoted(missing)}, or choose a policy that was made for '{identity.name}'."
            )
        digests = {name: each.weights_digest for name, each in loaded.items()}
        if self.model is not None and not digests[self.model].startswith(self.model_digest or ""):
            raise PolicyError(
                f"policy '{self.name}' is for the model '{self.model}' with the digest {self.model_digest}, but the "
                f"loaded model has the digest {digests[self.model]}. The same name with other weights is another "
                f"model, and thresholds are never copied from one model to another: load the weights that the policy "
                f"names, or measure the thresholds again and correct model_digest."
            )
        for each in self.calibration.models if self.calibration is not None else ():
            if digests.get(each.model, each.digest) != each.digest:
                raise PolicyError(
                    f"policy '{self.name}' was calibrated with the model '{each.model}' of the digest {each.digest}, "
                    f"but the loaded model has the digest {digests[each.model]}: load the weights that it was "
                    f"calibrated with, run `pictwarden calibrate` again, or remove the section 'calibration', after "
                    f"which no error rate is claimed."
                )


def _quoted(names: Sequence[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def labels_of(policy: Policy, shadow: Policy | None) -> tuple[str, ...]:
    """The labels that are scored: the policy's, then what ``shadow``, which is on trial, has beside."""
    return tuple(dict.fromkeys(policy.labels + (shadow.labels if shadow is not None else ())))


def heads_of(*policies: Policy | None) -> dict[str, HeadFile]:
    """The heads among the labels of policies, and their files: of one that several have, that of the first of them."""
    return {label: file for each in reversed(policies) if each is not None for label, file in each.heads.items()}


def _by_name(concepts: tuple[Concept, ...]) -> list[Concept]:
    return sorted(concepts, key=lambda concept: concept.name)


def _labels(concepts: list[Concept]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for concept in concepts for label in concept.labels))


def _digest(policy: Policy) -> str:
    meaning = {
        "schema": DIGEST_SCHEMA,
        "policy": policy.name,
        "model": policy.model,
        "model_digest": policy.model_digest,
        "concepts": [
            [concept.name, concept.score, *_meaning_of_score(concept)] for concept in _by_name(policy.concepts)
        ],
        "rules": [[rule.name, rule.verdict, rule.message, _meaning(rule.when)] for rule in policy.rules],
    }
    # Left out where a policy has none of them, so that policies written before they existed keep their digests.
    if policy.conditions:
        meaning["conditions"] = [[each.name, _meaning(each.when)] for each in policy.conditions]
    if policy.cosine_decimals is not None:
        meaning["cosine_decimals"] = policy.cosine_decimals
    canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _meaning_of_score(concept: Concept) -> list[Any]:
    if concept.score is ScoreKind.CLASSIFIER:
        return [concept.model, concept.output]
    if concept.score is ScoreKind.HEAD:
        return list(concept.labels)
    return [concept.prompts, concept.counter_prompts, *filter(None, [concept.thresholds])]


def _meaning(part: Any) -> Any:
    """A condition as its form and those of its fields that have not their default, for every kind of condition."""
    if isinstance(part, tuple):
        return [_meaning(each) for each in part]
    if hasattr(part, "form"):
        values = ((getattr(part, each.name), each.default) for each in fields(part))
        return [part.form, *(_meaning(value) for value, default in values if value != default)]
    return part + 0.0 if isinstance(part, float) else part  # adding 0.0 makes -0.0 and 0.0 the same text
