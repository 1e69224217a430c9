"""`pictwarden policy explain`: scans in process, and tells how far each condition is from its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.models.demo.draw import draw

POLICY = """\
policy: colours
model: fake
concepts:
  red: {score: cosine, prompts: [a red view]}
  green: {score: cosine, prompts: [a green view]}
rules:
  - {name: no-red, verdict: reject, when: {all: [{concept: red, above: 0.5}, {not: {concept: green, above: 0.5}}]}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("p.yaml").write_text(POLICY, "utf-8")
    Image.new("RGB", (64, 64), "red").save("red [1].png")
    Image.new("RGB", (300, 64), "blue").save("blue.png")
    return tmp_path


def policy_explain(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["policy", "explain", *map(str, arguments)])


def test_each_condition_is_shown_with_its_margin_and_views(folder: Path) -> None:
    result = policy_explain("p.yaml", "red [1].png", "blue.png")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:4] == ["red", "[1].png:", "reject:", "rule"]
    assert lines[1][:4] == ["no-red", "(reject):", "holds", "margin"]
    assert [line[:3] for line in lines[3:6]] == [
        ["red", "above", "0.5"],
        ["not", "+1.0000", "1"],
        ["green", "above", "0.5"],
    ]
    assert lines[3][-2:] == ["(whole)", "1"]
    assert lines[5][-1] == "none"
    blue = result.stdout[result.stdout.index("blue.png") :]
    assert "accept" in blue.splitlines()[0]
    assert "does not hold" in blue.splitlines()[1]


def test_the_demo_model_is_found_by_the_policy_that_names_it(folder: Path) -> None:
    pixels = draw(np.random.default_rng(1), "red", "triangle", height_px=96, width_px=96, size=0.6)
    Image.fromarray(pixels).save("triangle.png")
    result = policy_explain("shipped:demo-red-triangle", "triangle.png")
    assert result.exit_code == 0, result.stderr
    assert "triangle above 0.3" in result.stdout


def test_a_file_that_is_no_picture_does_not_end_the_command(folder: Path) -> None:
    result = policy_explain("p.yaml", "p.yaml", "blue.png")
    assert result.exit_code == 1
    assert "p.yaml: not scanned: " in result.stderr
    assert "blue.png: accept" in result.stdout
    assert policy_explain("p.yaml", "p.yaml").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.yaml", "blue.png"), "no policy file"),
        (("p.yaml", "nowhere.png"), "nowhere.png"),
        (("p.yaml", "blue.png", "--model", "embedded:demo-shapes"), "is for the model 'fake'"),
        (("p.yaml", "blue.png", "--model", "nothing"), "is neither"),
    ],
)
def test_what_cannot_be_opened_is_told(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    result = policy_explain(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
