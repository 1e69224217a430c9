"""What was recorded of how far a quantised model agrees with the one it is made of; without a record it does not start.

A record is for one model, one policy and one recipe: another version of OpenVINO, or another calibration, is another
model in effect, and has to be compared again.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from serve_app.domain import ModelError
from serve_app.models.model_cache import Recipe

LEAST_AGREEMENT = 0.999
"""The share of pictures that must have the same verdict."""

LEAST_PICTURES = 1000
"""Below this many pictures, 99.9 % cannot be told from 100 %: a single disagreement would be too many."""


@dataclass(frozen=True, slots=True)
class PolicyReference:
    """The policy that judges by an engine's scores: as the configuration names it, and its digest."""

    source: str
    digest: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """A comparison of a quantised model with the one it is made of, under one policy.

    ``agreement`` is the share of ``pictures`` with the same verdict, 0..1; ``compared_at`` is ISO 8601 in UTC.
    ``accepted_lower`` says that somebody has taken it as it is, however low.
    """

    recipe: Recipe
    model: str
    policy: str
    policy_digest: str
    pictures: int
    agreement: float
    compared_at: str
    accepted_lower: bool

    @property
    def shortfall(self) -> str | None:
        """See :func:`shortfall`."""
        return shortfall(self.pictures, self.agreement)

    @property
    def is_enough(self) -> bool:
        """Whether the quantised model may start with it."""
        return self.accepted_lower or self.shortfall is None


def shortfall(pictures: int, agreement: float) -> str | None:
    """What a comparison lacks to be good enough by itself, for people; None if nothing."""
    if pictures < LEAST_PICTURES:
        return f"{pictures} pictures were compared, and at least {LEAST_PICTURES} are wanted"
    if agreement < LEAST_AGREEMENT:
        return f"{agreement:.2%} of the verdicts agree, and at least {LEAST_AGREEMENT:.1%} are wanted"
    return None


class Agreements:
    """The records of one cache folder (:mod:`serve_app.models.model_cache`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "agreements"

    def record(self, agreement: Agreement) -> Path:
        """Keep it, instead of an earlier one of the same recipe and policy; returns its file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{agreement.recipe.digest[:32]}-{agreement.policy_digest[:32]}.json"
        handle, unfinished = tempfile.mkstemp(prefix=".unfinished-", dir=self._folder)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(asdict(agreement), stream, indent=1)
        Path(unfinished).replace(file)
        return file

    def latest(self, model_digest: str, policy_digest: str, openvino: str, nncf: str) -> Agreement | None:
        """The newest record of this model and policy with these versions, enough or not; None if there is none."""
        found = [
            each
            for each in map(_read, self._folder.glob("*.json"))
            if each
            and (each.recipe.model_digest, each.policy_digest) == (model_digest, policy_digest)
            and each.recipe == Recipe(model_digest, each.recipe.calibration, openvino, nncf)
        ]
        return max(found, key=lambda each: each.compared_at, default=None)


def require_agreement(found: Agreement | None, command: str) -> Agreement:
    """``found``, if the quantised model may start with it.

    Args:
        found: the newest record.
        command: what records one.

    Raises:
        ModelError: there is no record, or it is not enough; the message has the command.
    """
    if found is None:
        raise ModelError(
            "openvino-int8 starts only where it is recorded that it agrees with the model it is made of, and there is "
            f"no record for this model, this policy and the installed versions. This command makes one: {command}"
        )
    if not found.is_enough:
        raise ModelError(
            f"openvino-int8 does not start: {found.shortfall} (compared {found.compared_at}). Compare with more, or "
            f"other, pictures: {command}. Adding --accept-lower takes it as it is, and that is told at every start"
        )
    return found


def _read(file: Path) -> Agreement | None:
    """A record; None for what is none, or of another version of this program."""
    try:
        content = json.loads(file.read_text("utf-8"))
        recipe = Recipe(**content.pop("recipe"))
        agreement = Agreement(recipe=recipe, **content)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
    kinds = {field.name: type(getattr(agreement, field.name)).__name__ for field in fields(agreement)}
    wanted = {field.name: field.type for field in fields(agreement)}
    return agreement if kinds == wanted else None
