"""`pictwarden policy`: check, show, and from-horde-safety."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.cli.policy import policies
from serve_app.policy import load_policy, parse_policy, shipped_policies
from serve_app.policy.horde_safety import read_lists
from tests.unit.policy.horde_stand_in import StandInChecker

GOOD = """\
policy: colours
model: fake
concepts:
  red: {score: cosine, prompts: [a red view]}
  green: {score: cosine, prompts: [a green view]}
rules:
  - {name: no-red, verdict: reject, when: {concept: red, above: 0.5}}
"""


def policy(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["policy", *map(str, arguments)])


def policy_check(*arguments: object) -> Result:
    return policy("check", *arguments)


def test_a_good_policy_is_summed_up(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(GOOD, "utf-8")
    result = policy_check(file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("colours@")
    first, second = result.stdout.splitlines()
    assert first.endswith(": 2 concepts, 1 rule, for model fake")
    assert second == "not calibrated: no error rate is claimed"


def test_several_rules_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(GOOD + "  - {name: look, verdict: flag, when: {concept: green, above: 0.5}}\n", "utf-8")
    assert "2 rules" in policy_check(file).stdout


@pytest.mark.parametrize("name", shipped_policies())
def test_what_ships_is_good(name: str) -> None:
    assert policy_check(f"shipped:{name}").exit_code == 0


def test_an_error_is_located_on_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(GOOD.replace("concept: red", "concept: rad"), "utf-8")
    result = policy_check("p.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("p.yaml:7:53: error: unknown concept 'rad'\n")
    assert "^^^" in result.stderr
    assert "did you mean 'red'?" in result.stderr


@pytest.mark.parametrize("name", ["nowhere.yaml", "shipped:nothing-like-it", "."])
def test_what_cannot_be_read_is_an_error_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = policy_check(name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error" in result.stderr or "no " in result.stderr


@pytest.mark.parametrize("name", shipped_policies())
def test_what_ships_is_shown_as_it_is(name: str) -> None:
    shown = policy("show", name)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert parse_policy(shown.stdout, name) == load_policy(f"shipped:{name}")
    assert policy("show", f"shipped:{name}").stdout == shown.stdout


def test_what_does_not_ship_is_not_shown() -> None:
    result = policy("show", "nothing-like-it")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no shipped policy 'nothing-like-it'" in result.stderr


def test_horde_safety_is_read_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = read_lists(StandInChecker)
    monkeypatch.setattr(policies, "installed_lists", lambda: ("0.3.1", lists))
    result = policy("from-horde-safety")
    assert (result.exit_code, result.stderr) == (0, "")
    assert parse_policy(result.stdout, "horde.yaml").name == "horde-safety"


def test_horde_safety_that_is_not_there_is_an_error_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise metadata.PackageNotFoundError("horde-safety")

    monkeypatch.setattr(metadata, "version", missing)
    result = policy("from-horde-safety")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("horde-safety is not installed beside this command: `")
    assert " -m pip install horde-safety==0.3.1` installs it" in result.stderr
