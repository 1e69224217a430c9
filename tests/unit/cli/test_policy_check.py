"""`pictwarden policy check`: a good policy in one line, a bad one by line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.policy import shipped_policies

GOOD = """\
policy: colours
model: fake
concepts:
  red: {score: cosine, prompts: [a red view]}
  green: {score: cosine, prompts: [a green view]}
rules:
  - {name: no-red, verdict: reject, when: {concept: red, above: 0.5}}
"""


def policy_check(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["policy", "check", *map(str, arguments)])


def test_a_good_policy_is_summed_up(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(GOOD, "utf-8")
    result = policy_check(file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("colours@")
    assert result.stdout.endswith(": 2 concepts, 1 rule, for model fake\n")


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
