"""What a policy says of its own measurement is kept and checked, and changes no judgement."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from serve_app.domain import ModelIdentity, PolicyError
from serve_app.policy import (
    CalibratedModel,
    CalibratedRule,
    Calibration,
    PolicyText,
    parse_policy,
    section_text,
    shipped_text,
    with_section,
)

MODEL = ModelIdentity("demo-shapes", "a" * 64, image_size_px=64)
TEXT = shipped_text("demo-red-triangle")
CALIBRATION = Calibration(
    date="2026-11-26",
    policy_digest=parse_policy(TEXT, "p.yaml").digest,
    models=(CalibratedModel("demo-shapes", "a" * 64),),
    pictures=2000,
    pictures_digest="c" * 64,
    confidence=0.95,
    rules=(CalibratedRule("red-triangle", 0.005, 4, 3, 0.004571, -0.0125),),
)
CALIBRATED = with_section(TEXT, section_text(CALIBRATION), "p.yaml")


def test_it_is_read_as_it_was_written_and_is_no_part_of_the_digest() -> None:
    policy = parse_policy(CALIBRATED, "p.yaml")
    assert policy.calibration == CALIBRATION
    assert policy.digest == parse_policy(TEXT, "p.yaml").digest
    assert CALIBRATED.startswith(TEXT.rstrip())
    assert str(policy.calibration) == (
        "calibrated on 2026-11-26 on 2,000 pictures; false positives, with 95% confidence: red-triangle at most 0.46%"
    )


def test_a_name_of_a_model_may_hold_what_yaml_reads_otherwise() -> None:
    named = replace(CALIBRATION, models=(CalibratedModel("hub: 'a' # b", "b" * 64), CalibratedModel("ü\\", "c" * 64)))
    assert parse_policy(with_section(TEXT, section_text(named), "p.yaml"), "p.yaml").calibration == named


def test_a_claim_that_stayed_behind_is_refused() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(CALIBRATED.replace("{concept: red, above: 0.3}", "{concept: red, above: 0.2}"), "p.yaml")
    assert "p.yaml:55:18: error: the calibration was measured with another content of this policy" in str(caught.value)
    assert "run `pictwarden calibrate` again, or remove the section 'calibration'" in str(caught.value)


def test_what_a_claim_no_longer_holds_for_can_be_calibrated_again() -> None:
    edited = CALIBRATED.replace("{concept: red, above: 0.3}", "{concept: red, above: 0.2}")
    source = PolicyText(edited, "p.yaml")
    assert source.policy.calibration is None
    source.policy.require_model(replace(MODEL, digest="b" * 64))
    assert "calibration" not in source.with_margins({"red-triangle": Decimal(0)})


def test_comments_and_descriptions_may_change() -> None:
    commented = CALIBRATED.replace("model: demo-shapes", "model: demo-shapes # as before\ndescription: mine")
    assert parse_policy(commented, "p.yaml").calibration == CALIBRATION


def test_thresholds_that_were_measured_with_other_weights_are_refused() -> None:
    policy = parse_policy(CALIBRATED, "p.yaml")
    policy.require_model(MODEL)
    policy.require_model(replace(MODEL, digest="b" * 64, derived_from="a" * 64))
    for other in (replace(MODEL, digest="b" * 64), replace(MODEL, derived_from="b" * 64)):
        with pytest.raises(PolicyError, match=r"was calibrated with the model .* of the digest a+, but"):
            policy.require_model(other)


def test_a_policy_that_is_calibrated_again_has_one_calibration() -> None:
    again = PolicyText(CALIBRATED, "p.yaml")
    bare = again.with_margins({"red-triangle": Decimal(0)})
    assert bare.rstrip() == TEXT.rstrip()
    assert again.with_margins({"red-triangle": Decimal("0.1")}).count("above: 0.4") == 2


def test_a_section_in_the_middle_of_a_file_goes_alone() -> None:
    (section,) = CALIBRATED.split(TEXT.rstrip())[1:]
    between = TEXT.replace("# At 0.5 the model", f"{section.strip()}\n# At 0.5 the model")
    assert parse_policy(between, "p.yaml").calibration == CALIBRATION
    bare = PolicyText(between, "p.yaml").with_margins({"red-triangle": Decimal(0)})
    assert parse_policy(bare, "p.yaml").digest == CALIBRATION.policy_digest


def test_a_policy_in_braces_takes_no_section() -> None:
    braces = (
        "{policy: a, model: fake, concepts: {red: {score: cosine, prompts: [red]}}, "
        "rules: [{name: r, verdict: flag, when: {concept: red, above: 0}}]}"
    )
    with pytest.raises(PolicyError, match="no section can be added to this policy: write one key a line"):
        with_section(braces, section_text(CALIBRATION), "p.yaml")
