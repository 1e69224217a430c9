"""What a policy is once it has been read: frozen, complete, and free of YAML.

A policy has concepts (prompts, and how they are scored) and rules (a condition over concepts, and a verdict).
"""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, assert_never

from serve_app.domain import ModelIdentity, PolicyError, Verdict

DIGEST_SCHEMA = 1
"""Part of every policy digest. Raise it when the same file comes to mean something else, so that no earlier decision is
taken for a decision under the new meaning."""


class ScoreKind(enum.StrEnum):
    """How a concept's prompts become one score per view."""

    COSINE = "cosine"
    CONTRAST = "contrast"

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest score there is, both included."""
        return (-1.0, 1.0) if self is ScoreKind.COSINE else (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that a view can depict, said in prompts. ``counter_prompts`` are empty for cosine, not for contrast."""

    name: str
    score: ScoreKind
    prompts: tuple[str, ...]
    counter_prompts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Above:
    """Holds where the score of ``concept`` is strictly above ``threshold``."""

    concept: str
    threshold: float


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds where every condition of ``of`` does, on the same view."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where one condition of ``of`` does or more."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Holds where ``count`` conditions of ``of`` do or more, on the same view. 1 <= count <= len(of)."""

    count: int
    of: tuple[Condition, ...]


Condition = Above | AllOf | AnyOf | AtLeast


@dataclass(frozen=True, slots=True)
class Rule:
    """A verdict, and when to give it. ``message`` is what the file says, None when it says nothing."""

    name: str
    verdict: Verdict
    when: Condition
    message: str | None = None

    @property
    def explanation(self) -> str:
        """What a person is told when this rule decides."""
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

    name: str
    model: str
    concepts: tuple[Concept, ...]
    rules: tuple[Rule, ...]
    model_digest: str | None = None
    description: str | None = None
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
                f"policy '{self.name}' is for the model '{self.model}', and the one that is loaded is "
                f"'{identity.name}'. Thresholds are never copied from one model to another: load '{self.model}', "
                f"or give a policy that was made for '{identity.name}'."
            )
        weights_digest = identity.derived_from or identity.digest
        if self.model_digest is not None and not weights_digest.lower().startswith(self.model_digest):
            raise PolicyError(
                f"policy '{self.name}' is for the model '{self.model}' with the digest {self.model_digest}, and the "
                f"one that is loaded has {weights_digest}. The same name with other weights is another model, and "
                f"thresholds are never copied from one model to another: load the weights that the policy names, or "
                f"measure the thresholds again and correct model_digest."
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


def _meaning(condition: Condition) -> list[Any]:
    match condition:
        case Above(concept, threshold):
            return ["above", concept, float(threshold) + 0.0]  # adding 0.0 makes -0.0 and 0.0 the same text
        case AllOf(of):
            return ["all", [_meaning(part) for part in of]]
        case AnyOf(of):
            return ["any", [_meaning(part) for part in of]]
        case AtLeast(count, of):
            return ["at_least", count, [_meaning(part) for part in of]]
        case _:
            assert_never(condition)
