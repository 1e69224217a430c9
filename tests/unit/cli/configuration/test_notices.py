"""What has to be known of a model's scores shows wherever they show, for every model of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.domain import MODEL_NOTICES
from serve_app.models.demo import DEMO_NOTICE
from serve_app.models.fake import FAKE_NOTICE, FakeEngine
from serve_app.models.onnx import opening
from serve_app.policy import load_policy
from tests.unit.cli.whole_service import running_service
from tests.unit.fake_classifier import fake_classifier

POLICY = """\
policy: colours
model: fake
concepts:
  red: {score: cosine, prompts: [a red view]}
  drawn: {score: classifier, model: nsfwjs, output: drawing}
rules:
  - {name: no-red, verdict: reject, when: {concept: red, above: 0.5}}
  - {name: drawn, verdict: flag, when: {concept: drawn, above: 0.5}}
"""
NOTICES = (f"fake: {FAKE_NOTICE}", "nsfwjs: guesses [often]")
SHOWING = (
    ("policy", "explain", "p.yaml", "pictures/59.png"),
    ("calibrate", "p.yaml", "pictures", "--here", "--budget", "5%"),
    ("evaluate", "p.yaml", "pictures", "--here"),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy for two models that each have a notice, and pictures of every shade of red."""

    def open_classifier(name: str, outputs: Sequence[str], *_: object) -> FakeEngine:
        return fake_classifier(name, outputs, "guesses [often]")

    monkeypatch.setattr(opening, "open_classifier", open_classifier)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("p.yaml").write_text(POLICY, "utf-8")
    Path("pictures").mkdir()
    for number in range(60):
        Image.new("RGB", (16, 16), (4 * number, 0, 0)).save(f"pictures/{number:02}.png")


def shown(*command: str) -> str:
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return result.stdout.replace("\\", "")


@pytest.mark.parametrize("command", SHOWING, ids=lambda each: " ".join(each[:2]))
def test_a_command_that_shows_what_models_score_says_what_has_to_be_known_of_them(command: tuple[str, ...]) -> None:
    said = shown(*command)
    assert [said.count(notice) for notice in NOTICES] == [1, 1]


@pytest.mark.slow
def test_the_running_service_tells_the_notices_of_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_service(load_policy("p.yaml")) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        card = shown("evaluate", "p.yaml", "pictures")
        why = shown("why", "pictures/59.png")
        replayed = shown("policy", "replay", "p.yaml")
    for said in (card, why, replayed):
        assert [said.count(notice) for notice in NOTICES] == [1, 1]


def test_a_model_that_ships_or_is_fetched_carries_its_own() -> None:
    carried = {name: each.notice for name, each in opening.KNOWN.items() if each.notice}
    assert {**carried, "demo-shapes": DEMO_NOTICE} == MODEL_NOTICES
    assert "its accuracy on children is unknown" in carried["age"]
