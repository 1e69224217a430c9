"""The presets: each is a policy that ships or is installed, for models that are known, and is told as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.models import source_of
from serve_app.policy import load_policy
from serve_app.policy.files import FROM_HORDE_SAFETY, SHIPPED_PREFIX
from serve_app.presets import CALIBRATION, DEFAULT, PRESETS, Preset

PAGE = Path(__file__).parents[2] / "docs" / "presets.md"
SHIPPED = [each for each in PRESETS.values() if each.policy.startswith(SHIPPED_PREFIX)]


def test_each_is_found_by_its_name() -> None:
    assert all(each.name == name for name, each in PRESETS.items())
    assert PRESETS[DEFAULT.name] is DEFAULT


def test_what_does_not_ship_is_installed() -> None:
    assert {each.policy for each in PRESETS.values() if each not in SHIPPED} == {FROM_HORDE_SAFETY}


@pytest.mark.parametrize("preset", SHIPPED, ids=lambda each: each.name)
def test_its_policy_is_right_and_its_model_is_known(preset: Preset) -> None:
    assert source_of(load_policy(preset.policy).model)


def test_they_are_listed_a_line_each() -> None:
    result = CliRunner().invoke(app, ["presets"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [str(each) for each in PRESETS.values()]
    assert all(line.endswith(f"; {CALIBRATION}") for line in result.stdout.splitlines())


def test_they_are_listed_for_machines() -> None:
    listed = [json.loads(line) for line in CliRunner().invoke(app, ["presets", "--json"]).stdout.splitlines()]
    assert [each["preset"] for each in listed] == list(PRESETS)
    assert [each["preset"] for each in listed if each["is_default"]] == [DEFAULT.name]
    assert {each["policy"] for each in listed} == {each.policy for each in PRESETS.values()}


def test_the_page_says_of_each_what_it_says_of_itself() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \| (.+?) \| (.+?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [(each.name, each.protects, each.needs, f"`{each.policy}`") for each in PRESETS.values()]
