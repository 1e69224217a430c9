"""Which records let a quantised model start, and which record is the one that counts."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from serve_app.domain import ModelError
from serve_app.models.agreement import LEAST_PICTURES, Agreement, Agreements, require_agreement
from serve_app.models.openvino.conversion import Conversion

MODEL, POLICY = "ab" * 32, "cd" * 32
CONVERSION = Conversion(MODEL, "int8", "drawn-1", "2026.4.1", "3.4.0")
GOOD = Agreement(
    CONVERSION, "my-clip", "colours", POLICY, LEAST_PICTURES, 1.0, "2026-11-24T10:00:00+00:00", False, "f32"
)
COMMAND = "pictwarden model compare FOLDER"
EARLIER = f"""
{{"conversion": {{"model_digest": "{MODEL}", "precision": "int8", "calibration": "drawn-1", "openvino": "2026.4.1",
                 "nncf": "3.4.0", "schema": 3}},
 "model": "my-clip", "policy": "colours", "policy_digest": "{POLICY}", "pictures": {LEAST_PICTURES}, "agreement": 1.0,
 "compared_at": "2026-11-24T10:00:00+00:00", "accepted_lower": false, "computed_in": "f32"}}
"""


@pytest.fixture
def agreements(tmp_path: Path) -> Agreements:
    return Agreements(tmp_path)


def latest(agreements: Agreements) -> Agreement | None:
    return agreements.latest_quantised(MODEL, POLICY, "2026.4.1", "3.4.0")


@pytest.mark.parametrize(
    ("pictures", "agreement", "is_enough"),
    [
        (LEAST_PICTURES, 1.0, True),
        (LEAST_PICTURES, 0.999, True),
        (10 * LEAST_PICTURES, 0.9989, False),
        (LEAST_PICTURES - 1, 1.0, False),
        (1, 0.0, False),
    ],
)
def test_enough_is_a_share_of_enough_pictures(pictures: int, agreement: float, is_enough: bool) -> None:
    record = replace(GOOD, pictures=pictures, agreement=agreement)
    assert record.is_enough is is_enough
    assert (record.shortfall is None) is is_enough
    assert replace(record, accepted_lower=True).is_enough


@pytest.mark.parametrize(("torch_bf16", "is_enough"), [(0.99, True), (0.98, True), (0.991, False), (1.0, False)])
def test_enough_is_no_worse_than_torchs_own_bf16_where_that_is_known(torch_bf16: float, is_enough: bool) -> None:
    record = replace(GOOD, agreement=0.99, torch_bf16=torch_bf16)
    assert record.is_enough is is_enough
    assert replace(record, torch_bf16=None).is_enough is False


def test_without_a_record_the_message_is_the_command() -> None:
    with pytest.raises(ModelError, match=rf"no record .*{COMMAND}$"):
        require_agreement(None, COMMAND)


def test_a_record_that_is_not_enough_says_what_it_lacks_and_the_two_ways_out() -> None:
    with pytest.raises(ModelError, match=rf"98\.00% .*{COMMAND}\. Adding --accept-lower"):
        require_agreement(replace(GOOD, agreement=0.98), COMMAND)


def test_a_record_that_is_enough_is_returned() -> None:
    assert require_agreement(GOOD, COMMAND) is GOOD


def test_what_was_recorded_is_found(agreements: Agreements) -> None:
    agreements.record(GOOD)
    assert latest(agreements) == GOOD


@pytest.mark.parametrize(
    "other",
    [
        replace(GOOD, policy_digest="ef" * 32),
        replace(GOOD, conversion=replace(CONVERSION, model_digest="ef" * 32)),
        replace(GOOD, conversion=replace(CONVERSION, openvino="2027.0")),
        replace(GOOD, conversion=replace(CONVERSION, nncf="4.0")),
        replace(GOOD, conversion=replace(CONVERSION, precision="bf16")),
        replace(GOOD, conversion=replace(CONVERSION, schema=0)),
    ],
)
def test_a_record_of_anything_else_does_not_count(agreements: Agreements, other: Agreement) -> None:
    agreements.record(other)
    assert latest(agreements) is None


def test_what_an_earlier_version_has_recorded_still_counts(agreements: Agreements, tmp_path: Path) -> None:
    file = tmp_path / "agreements" / f"78199e02b23299b4a09d4ac876b880b2-{POLICY[:32]}.json"
    file.parent.mkdir()
    file.write_text(EARLIER, "ascii")
    assert latest(agreements) == agreements.find(CONVERSION, POLICY) == GOOD


def test_the_record_of_one_conversion_and_policy_is_found(agreements: Agreements) -> None:
    agreements.record(GOOD)
    assert agreements.find(CONVERSION, POLICY) == GOOD
    assert agreements.find(CONVERSION, "ef" * 32) is None
    assert agreements.find(replace(CONVERSION, openvino="1"), POLICY) is None


def test_the_same_comparison_again_replaces_the_record(agreements: Agreements, tmp_path: Path) -> None:
    agreements.record(GOOD)
    agreements.record(replace(GOOD, agreement=0.5))
    found = latest(agreements)
    assert found is not None
    assert found.agreement == 0.5
    assert len(list((tmp_path / "agreements").iterdir())) == 1


def test_the_newest_record_of_several_quantised_models_counts(agreements: Agreements) -> None:
    newer = replace(
        GOOD, conversion=replace(CONVERSION, calibration="photographs-1"), compared_at="2026-11-25T00:00:00+00:00"
    )
    for each in (newer, GOOD):
        agreements.record(each)
    assert latest(agreements) == newer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"conversion": {}}',
        json.dumps({**asdict(GOOD), "accepted_lower": "yes"}),
        json.dumps({**asdict(GOOD), "agreement": "1.0"}),
        json.dumps({**asdict(GOOD), "unknown": 1}),
    ],
)
def test_what_is_no_record_is_none(agreements: Agreements, text: str) -> None:
    agreements.record(GOOD).write_text(text, "utf-8")
    assert latest(agreements) is None
