"""The section ``calibration`` of a policy: on which pictures its thresholds were measured, and what was found.

It changes no judgement, and so it is no part of the policy's digest. It holds for exactly the policy whose digest it
names: a claim that stays behind when somebody edits a threshold is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

from serve_app.policy.diagnostics import Diagnostic
from serve_app.policy.document import MappingValue, ScalarValue, Value, describe
from serve_app.policy.fields import name_reader, read_number, text_reader, whole_number, wrong
from serve_app.policy.mappings import Several, mapping

SECTION = "calibration"

_MAX_NAME_CHARS = 300
_HINT = "`pictwarden calibrate` writes it; remove the whole section if nothing was measured"
_ONE_OF = "write - {model: NAME, digest: SHA256}"
_DIGEST = name_reader("a digest", "[0-9a-f]{64}", "a sha256 has 64 characters, all of 0-9 and a-f")
_DATE = name_reader("a date", r"\d{4}-\d{2}-\d{2}", "a date is written as 2026-11-26")


def _share(value: Value) -> float:
    return read_number(value, "a share", 0.0, 1.0, "0.005 is 0.5 %")


def _count(value: Value) -> int:
    count = whole_number(value)
    if count is None:
        raise wrong(value, f"a count must be a whole number, found {describe(value)}")
    return count


def _margin(value: Value) -> float:
    return read_number(value, "'moved'", -4.0, 4.0, "no threshold can move further")


Share = Annotated[float, BeforeValidator(_share)]
Count = Annotated[int, BeforeValidator(_count)]


@dataclass(frozen=True, slots=True)
class CalibratedModel:
    """A model that scored the pictures. ``digest`` is that of the original where a converted model scored."""

    model: Annotated[str, text_reader("'model'", _MAX_NAME_CHARS)]
    digest: Annotated[str, _DIGEST]


@dataclass(frozen=True, slots=True)
class CalibratedRule:
    """What was measured of a rule, on pictures for which it should not hold.

    At most ``allowed`` pictures were allowed to be false positives, and ``false_positives`` are. The rate among all
    such pictures is at most ``bound`` with the calibration's confidence. ``moved`` was added to the rule's thresholds.
    """

    rule: Annotated[str, text_reader("'rule'", _MAX_NAME_CHARS)]
    budget: Share
    allowed: Count
    false_positives: Count
    bound: Share
    moved: Annotated[float, BeforeValidator(_margin)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """On what the thresholds of the policy with the digest ``policy_digest`` were measured.

    ``pictures`` are distinct ones, near-duplicates counted once; ``pictures_digest`` is the sha256 (hex) over theirs.
    """

    date: Annotated[str, _DATE]
    policy_digest: Annotated[str, _DIGEST]
    models: Several[Annotated[CalibratedModel, mapping(CalibratedModel, "a calibrated model", _ONE_OF)]]
    pictures: Count
    pictures_digest: Annotated[str, _DIGEST]
    confidence: Share
    rules: Several[Annotated[CalibratedRule, mapping(CalibratedRule, "a calibrated rule", _HINT)]]

    def __str__(self) -> str:
        bounds = ", ".join(f"{each.rule} at most {each.bound:.2%}" for each in self.rules)
        return (
            f"calibrated on {self.date} on {self.pictures:,} pictures; false positives, with {self.confidence:.0%} "
            f"confidence: {bounds}"
        )


CalibrationReader = mapping(Calibration, "'calibration'", _HINT)


def of_policy_digest(document: Value, digest: str) -> Iterator[Diagnostic]:
    """A calibration is that of the policy in the same file, whose digest is ``digest``."""
    section = document.get(SECTION) if isinstance(document, MappingValue) else None
    written = section.get("policy_digest") if isinstance(section, MappingValue) else None
    if isinstance(written, ScalarValue) and written != digest:
        message = f"the calibration was measured with another content of this policy, which is now {digest[:12]}"
        hint = "run `pictwarden calibrate` again, or remove the section 'calibration'"
        yield Diagnostic(written.span, message, hint)


def section_text(calibration: Calibration) -> str:
    """The section as it stands in a policy file."""
    models = (
        f"    - {{model: {json.dumps(each.model, ensure_ascii=False)}, digest: {each.digest}}}"
        for each in calibration.models
    )
    rules = (
        f"    - {{rule: {each.rule}, budget: {each.budget:g}, allowed: {each.allowed}, "
        f"false_positives: {each.false_positives}, bound: {each.bound:.6f}, moved: {each.moved:.6f}}}"
        for each in calibration.rules
    )
    return "\n".join(
        [
            "# Written by `pictwarden calibrate`: what the thresholds above were measured on. It holds for exactly",
            "# this policy: when anything above changes, measure again, or remove the section.",
            f"{SECTION}:",
            f"  date: {calibration.date}",
            f"  policy_digest: {calibration.policy_digest}",
            "  models:",
            *models,
            "  # Distinct pictures for which no rule should hold, near-duplicates counted once; sha256 over theirs.",
            f"  pictures: {calibration.pictures}",
            f"  pictures_digest: {calibration.pictures_digest}",
            "  # The rate of false positives of each rule by itself is at most `bound`, with this confidence.",
            f"  confidence: {calibration.confidence:g}",
            "  rules:",
            *rules,
            "",
        ]
    )
