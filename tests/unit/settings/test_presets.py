"""The presets: each is a policy that ships or is installed, for models that are known, and is told as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.domain import CLASSIFIERS, MODEL_NOTICES
from serve_app.models import source_of
from serve_app.policy import Above, AllOf, load_policy
from serve_app.policy.files import FROM_HORDE_SAFETY, SHIPPED_PREFIX
from serve_app.settings.presets import CALIBRATION, DEFAULT, PRESETS, Preset

PAGE = Path(__file__).parents[3] / "docs" / "presets.md"
ACCURACY = PAGE.with_name("accuracy.md")
SHIPPED = [each for each in PRESETS.values() if each.policy.startswith(SHIPPED_PREFIX)]


def test_each_is_found_by_its_name() -> None:
    assert all(each.name == name for name, each in PRESETS.items())
    assert PRESETS[DEFAULT.name] is DEFAULT


def test_what_does_not_ship_is_installed() -> None:
    assert {each.policy for each in PRESETS.values() if each not in SHIPPED} == {FROM_HORDE_SAFETY}


@pytest.mark.parametrize("preset", SHIPPED, ids=lambda each: each.name)
def test_its_policy_is_right_and_its_models_are_known(preset: Preset) -> None:
    policy = load_policy(preset.policy)
    for model in policy.models:
        assert model in CLASSIFIERS if model != policy.model else source_of(model)
    assert policy.models == preset.models


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda each: each.name)
def test_its_line_and_the_pages_have_the_notice_of_each_of_its_models(preset: Preset) -> None:
    notices = [MODEL_NOTICES[each] for each in preset.models if each in MODEL_NOTICES]
    assert len(preset.notices) == len(notices)
    for page in (str(preset), _plain(PAGE), _plain(ACCURACY)):
        assert all(notice in page for notice in notices)


def _plain(page: Path) -> str:
    """The text of a page without its line breaks and escapes."""
    return " ".join(page.read_text("utf-8").replace("\\", "").split())


def test_only_a_rule_that_is_real_is_called_so() -> None:
    starter = load_policy(PRESETS["starter"].policy)
    for kind in PRESETS["starter"].kinds:
        word, _, said = kind.partition(": ")
        named = {rule for rule in starter.rules if re.search(rf"\b{rule.name}\b", said)}
        assert {type(rule.when) for rule in named} == {Above if word == "real" else AllOf}
    assert all(any(rule.name in kind for kind in PRESETS["starter"].kinds) for rule in starter.rules)


def test_the_starter_is_made_of_the_policies_that_it_names() -> None:
    starter, demo, nsfw = (load_policy(f"shipped:{name}") for name in ("starter", "demo-red-triangle", "nsfw"))
    assert starter.concepts == demo.concepts + nsfw.concepts
    assert [(rule.name, rule.verdict, rule.when) for rule in starter.rules] == [
        (rule.name, rule.verdict, rule.when) for rule in demo.rules + nsfw.rules
    ]


def test_they_are_listed_a_line_each() -> None:
    result = CliRunner().invoke(app, ["presets"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [str(each) for each in PRESETS.values()]
    assert all(f"; {CALIBRATION}" in line for line in result.stdout.splitlines())


def test_they_are_listed_for_machines() -> None:
    listed = [json.loads(line) for line in CliRunner().invoke(app, ["presets", "--json"]).stdout.splitlines()]
    assert [each["preset"] for each in listed] == list(PRESETS)
    assert [each["preset"] for each in listed if each["is_default"]] == [DEFAULT.name]
    assert [each["notices"] for each in listed] == [list(each.notices) for each in PRESETS.values()]
    assert {each["policy"] for each in listed} == {each.policy for each in PRESETS.values()}


def test_the_page_says_of_each_what_it_says_of_itself() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \| (.+?) \| (`[\w:-]+`) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [(each.name, each.protects, each.needs, f"`{each.policy}`") for each in PRESETS.values()]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda each: each.name)
def test_its_card_is_of_the_policy_that_ships_or_says_that_nothing_was_measured(preset: Preset) -> None:
    sections = [each for each in ACCURACY.read_text("utf-8").split("\n## ") if each.startswith("`")]
    (section,) = (each for each in sections if f"`{preset.name}`" in each.partition("\n")[0])
    if "Not measured: neither" not in section:
        assert f"`{load_policy(preset.policy)}`" in section
        for rule in load_policy(preset.policy).rules:
            assert f"| {rule.name} ({rule.verdict}) | false positives: " in section
