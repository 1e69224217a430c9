"""Every command that opens models in its own process takes them from the folder that the service takes them from."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from serve_app.cli.calibration import training
from serve_app.cli.main import app
from serve_app.domain import ModelError
from serve_app.models.onnx import opening
from tests.unit.fake_classifier import fake_classifier

POLICY = """\
policy: drawn
concepts:
  {concept}: {{score: classifier, model: {model}, output: {output}}}
rules:
  - {{name: drawn, verdict: flag, when: {{concept: {concept}, above: 0.5}}}}
"""
IN_THIS_PROCESS = (
    ("policy", "explain", "p.yaml", "pictures"),
    ("calibrate", "p.yaml", "pictures", "--here"),
    ("evaluate", "p.yaml", "pictures", "--here"),
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; beside it a policy and a picture."""
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    Image.new("RGB", (16, 16), "red").save("pictures/red.png")
    return tmp_path / "cache"


@pytest.mark.parametrize("command", IN_THIS_PROCESS, ids=lambda each: each[0])
def test_a_classifier_is_looked_for_in_the_given_cache(cache: Path, command: tuple[str, ...]) -> None:
    pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")
    Path("p.yaml").write_text(POLICY.format(concept="drawn", model="nsfwjs", output="drawing"), "utf-8")
    result = CliRunner().invoke(app, [*command, "--cache-folder", str(cache)])
    assert result.exit_code == 2
    assert f"classifier nsfwjs is not in {cache / 'classifiers'}: run `pictwarden model fetch nsfwjs`" in result.stderr


@pytest.mark.parametrize("command", IN_THIS_PROCESS, ids=lambda each: each[0])
def test_the_landmarks_of_faces_are_looked_for_in_the_given_cache(
    cache: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "open_classifier", lambda name, outputs, *_: fake_classifier(name, outputs))
    Path("p.yaml").write_text(POLICY.format(concept="minor", model="age", output="minor"), "utf-8")
    result = CliRunner().invoke(app, [*command, "--cache-folder", str(cache)])
    assert result.exit_code == 2
    assert f"classifier age is not in {cache / 'classifiers'}: run `pictwarden model fetch age`" in result.stderr


def test_a_head_is_trained_with_a_model_of_the_given_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_embedding(source: str, cache_folder: Path | None) -> None:
        raise ModelError(f"{source} was looked for in {cache_folder}")

    monkeypatch.setattr(training, "open_embedding", open_embedding)
    both = ("--positive", "pictures", "--negative", "pictures")
    result = CliRunner().invoke(app, ["train", "reds", "--model", "fake", *both, "--cache-folder", str(cache)])
    assert (result.exit_code, result.stderr) == (2, f"fake was looked for in {cache}\n")


@pytest.mark.parametrize("command", ["calibrate", "evaluate"])
def test_the_running_service_has_a_cache_of_its_own(cache: Path, command: str) -> None:
    Path("p.yaml").write_text(POLICY.format(concept="drawn", model="nsfwjs", output="drawing"), "utf-8")
    result = CliRunner().invoke(app, [command, "p.yaml", "pictures", "--cache-folder", str(cache)])
    assert result.exit_code == 2
    assert "--cache-folder is for a model of --here: the running service has its own" in result.stderr


def test_every_command_with_a_model_of_its_own_has_the_option() -> None:
    """A new one cannot forget it: those with --model, and without a service, open one."""
    commands = [*_commands(typer.main.get_command(app), ())]
    with_model = {name: options for name, options in commands if "--model" in options}
    assert with_model.keys() >= {("policy", "explain"), ("calibrate",), ("evaluate",), ("train",), ("model", "compare")}
    lacking = [name for name, options in with_model.items() if "--cache-folder" not in options]
    assert lacking == [("serve",)], "the configuration of a service has the key"


def _commands(command: object, name: tuple[str, ...]) -> list[tuple[tuple[str, ...], set[str]]]:
    if below := getattr(command, "commands", None):
        return [each for part, one in below.items() for each in _commands(one, (*name, part))]
    return [(name, {option for each in getattr(command, "params", ()) for option in each.opts})]
