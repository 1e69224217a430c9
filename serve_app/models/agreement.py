"""What was recorded of how far a converted model agrees with the one it is made of.

A record is for one model, one policy and one conversion: another version of OpenVINO, or other views to quantise
with, is another model in effect, and has to be compared again. A quantised model does not start without one; one in
bf16 needs it to be taken in the place of torch.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from serve_app.domain import HeadFile, ModelError
from serve_app.models.openvino.conversion import Conversion

LEAST_AGREEMENT = 0.999
"""The share of pictures that must have the same verdict."""

LEAST_PICTURES = 1000
"""Below this many pictures, 99.9 % cannot be told from 100 %: a single disagreement would be too many."""

TOP_LABEL = "top-label"
"""In the place of a policy and its digest, where none was written for the model: the label of the highest cosine."""


@dataclass(frozen=True, slots=True)
class PolicyReference:
    """The policy that judges by an engine's scores: as the configuration names it, its digest, and its heads' files."""

    source: str
    digest: str
    heads: Mapping[str, HeadFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Agreement:
    """A comparison of a converted model with the one it is made of, in float32, under one policy.

    ``agreement`` is the share of ``pictures`` with the same verdict, 0..1; ``compared_at`` is ISO 8601 in UTC.
    ``accepted_lower`` says that somebody has taken it as it is, however low. ``computed_in`` is ``f32`` or ``bf16``:
    what was computed in, apart from int8, where it was compared. ``torch_bf16`` is the agreement of torch's own bf16
    with its float32 over the same pictures, where that was measured.
    """

    conversion: Conversion
    model: str
    policy: str
    policy_digest: str
    pictures: int
    agreement: float
    compared_at: str
    accepted_lower: bool
    computed_in: str
    torch_bf16: float | None = None

    @property
    def shortfall(self) -> str | None:
        """See :func:`shortfall`."""
        return shortfall(self.pictures, self.agreement, self.torch_bf16)

    @property
    def is_enough(self) -> bool:
        """Whether the converted model may be used with it."""
        return self.accepted_lower or self.shortfall is None


def shortfall(pictures: int, agreement: float, torch_bf16: float | None = None) -> str | None:
    """What a comparison lacks to be good enough by itself, for people; None if nothing.

    What is not quantised is to agree no worse than torch's own bf16, where that is known.
    """
    if pictures < LEAST_PICTURES:
        return f"{pictures} pictures were compared, and at least {LEAST_PICTURES} are wanted"
    if torch_bf16 is not None and agreement < torch_bf16:
        return f"{agreement:.2%} of the verdicts agree, and {torch_bf16:.2%} of those of torch in bf16"
    if torch_bf16 is None and agreement < LEAST_AGREEMENT:
        return f"{agreement:.2%} of the verdicts agree, and at least {LEAST_AGREEMENT:.1%} are wanted"
    return None


class Agreements:
    """The records of one folder: the cache, or a converted model's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "agreements"

    def record(self, agreement: Agreement) -> Path:
        """Store it, instead of an earlier one of the same conversion and policy; returns its file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._file(agreement.conversion, agreement.policy_digest)
        handle, unfinished = tempfile.mkstemp(prefix=".unfinished-", dir=self._folder)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(asdict(agreement), stream, indent=1)
        Path(unfinished).chmod(0o644)
        Path(unfinished).replace(file)
        return file

    def find(self, conversion: Conversion, policy_digest: str) -> Agreement | None:
        """The record of this very conversion, enough or not; None if there is none."""
        found = _read(self._file(conversion, policy_digest))
        return found if found and (found.conversion, found.policy_digest) == (conversion, policy_digest) else None

    def latest_quantised(self, model_digest: str, policy_digest: str, openvino: str, nncf: str) -> Agreement | None:
        """The newest record of this model in int8 and policy with these versions, enough or not; None if none."""
        found = [
            each
            for each in map(_read, self._folder.glob("*.json"))
            if each
            and each.policy_digest == policy_digest
            and each.conversion == Conversion(model_digest, "int8", each.conversion.calibration, openvino, nncf)
        ]
        return max(found, key=lambda each: each.compared_at, default=None)

    def _file(self, conversion: Conversion, policy_digest: str) -> Path:
        return self._folder / f"{conversion.digest[:32]}-{policy_digest[:32]}.json"


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


_READER = TypeAdapter(Agreement)


def _read(file: Path) -> Agreement | None:
    """A record; None for what is none, or of another version of this program."""
    try:
        return _READER.validate_json(file.read_bytes(), strict=True, extra="forbid")
    except (OSError, ValidationError):
        return None
