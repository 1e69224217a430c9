"""Where policies come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serve_app.domain import PolicyError
from serve_app.policy import files, load_policy, shipped_policies, shipped_text
from serve_app.policy.horde_safety import read_lists
from tests.unit.policy.horde_stand_in import StandInChecker

MINIMAL = """\
policy: minimal
model: fake
concepts: {red: {score: cosine, prompts: [größer]}}
rules: [{name: red, verdict: reject, when: {concept: red, above: 0.2}}]
"""


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_file_is_read_as_utf_8(tmp_path: Path, as_type: type[str | Path]) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(MINIMAL.encode())
    assert load_policy(as_type(file)).labels == ("größer",)


def test_an_error_shows_the_file_as_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.yaml").write_text(MINIMAL.replace("reject", "rejekt"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError, match=r"\Ap\.yaml:4:30: error: "):
        load_policy("p.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#" * (1024 * 1024 + 1), "larger than 1048576 bytes"),
        (b"policy: x\nmodel: \xff\xd8\xff", "p.yaml:2: error: not UTF-8"),
        (b"", "the file is empty"),
    ],
)
def test_what_is_no_text_of_a_policy_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(content)
    with pytest.raises(PolicyError, match=message):
        load_policy(file)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(PolicyError, match=r"no policy file 'nowhere/p\.yaml'"):
        load_policy("nowhere/p.yaml")


def test_a_folder_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"), [("a" * 5000, "cannot be read: "), ("a\0b", "no policy file"), ("\ud800", "no policy file")]
)
def test_a_name_that_no_file_can_have_is_refused(name: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        load_policy(name)


@pytest.mark.parametrize("name", ["nothing-like-it", "", "../__init__", "../../domain.py"])
def test_an_unknown_shipped_policy_is_refused_with_those_that_exist(name: str) -> None:
    with pytest.raises(PolicyError, match="no shipped policy") as caught:
        load_policy(f"shipped:{name}")
    assert all(known in str(caught.value) for known in shipped_policies())


def test_a_misspelt_shipped_policy_brings_a_guess() -> None:
    for name in shipped_policies():
        with pytest.raises(PolicyError, match=f"did you mean '{name}'"):
            load_policy(f"shipped:{name}x")


def test_a_shipped_policy_given_as_a_path_brings_a_guess() -> None:
    for name in shipped_policies():
        with pytest.raises(PolicyError, match=f"did you mean 'shipped:{name}'"):
            load_policy(name)


def test_every_shipped_policy_loads_under_its_own_name() -> None:
    assert [load_policy(f"shipped:{name}").name for name in shipped_policies()] == list(shipped_policies())


def test_a_policy_that_was_renamed_is_found_under_its_earlier_name() -> None:
    assert load_policy("shipped:minor-safety-vit-l-14-openai") == load_policy("shipped:csam")


def test_the_policy_of_horde_safety_is_made_from_the_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "installed_lists", lambda: ("0.3.1", read_lists(StandInChecker)))
    policy = load_policy("installed:horde-safety")
    assert (policy.name, policy.model) == ("horde-safety", "ViT-L-14/openai")
    assert "crimson" in policy.labels


def test_csam_fast_is_csam_for_another_model() -> None:
    fast, slow = load_policy("shipped:csam-fast"), load_policy("shipped:csam")
    assert replace(fast, name=slow.name, model=slow.model) == slow
    assert fast.model != slow.model


def test_the_optional_rule_of_csam_is_one_line_away(tmp_path: Path) -> None:
    text = shipped_text("csam")
    assert text.count("verdict: off") == 1
    for verdict in ("flag", "reject"):
        file = tmp_path / f"{verdict}.yaml"
        file.write_text(text.replace("verdict: off", f"verdict: {verdict}"), "utf-8")
        assert {rule.name: rule.verdict for rule in load_policy(file).rules} == {
            "minor-in-sexual-context": "reject",
            "nsfw": verdict,
        }
    assert [rule.name for rule in load_policy("shipped:csam").rules] == ["minor-in-sexual-context"]
