"""`pictwarden model convert`: what is made, compared and recorded, and the exit code that a script goes by."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.cli.models import converting
from serve_app.models.demo.draw import draw
from serve_app.models.factory import open_engine, open_unrecorded
from serve_app.models.fake import FakeEngine
from serve_app.models.onnx import opening
from tests.unit.fake_classifier import fake_classifier

DEMO = "embedded:demo-shapes"
POLICY = ("--policy", "shipped:demo-red-triangle")
WITH_A_CLASSIFIER = """\
policy: both
model: demo-shapes
concepts:
  red: {score: cosine, prompts: [a red triangle]}
  drawn: {score: classifier, model: nsfwjs, output: drawing}
rules:
  - {name: red-or-drawn, verdict: flag, when: {any: [{concept: red, above: 0.5}, {concept: drawn, above: 0.5}]}}
"""


def model_convert(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["model", "convert", *map(str, arguments), "--to", "openvino", "--cpu-threads", "1"])


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model, converted and compared once for all these tests."""
    folder = tmp_path_factory.mktemp("converted") / "demo"
    result = model_convert(DEMO, *POLICY, "--output", folder)
    assert result.exit_code == 0, result.output
    assert re.search(r"1,000 pictures compared \(computed in \w+\): \S+% of the verdicts are those of", result.stdout)
    return folder


@pytest.fixture
def output(tmp_path: Path, converted: Path) -> Path:
    """The same, a folder of the test's own."""
    return shutil.copytree(converted, tmp_path / "demo")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converting, "LEAST_PICTURES", 20)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text("utf-8")) for file in (folder / "agreements").glob("*.json")]


def test_the_agreement_is_recorded_beside_the_model(output: Path) -> None:
    (record,) = records(output)
    assert (record["model"], record["policy"], record["pictures"]) == ("demo-shapes", "demo-red-triangle", 1000)
    assert record["agreement"] >= (record["torch_bf16"] or 0.999)
    assert (record["torch_bf16"] is None) == (record["computed_in"] == "f32")


def test_what_was_made_is_a_model_source_and_carries_the_models_notice(output: Path) -> None:
    engine = open_engine(str(output), ("a red triangle",), cpu_threads=1)
    assert engine.identity.name == "demo-shapes"
    assert "protects nobody" in str(engine.identity.notice)


@pytest.mark.usefixtures("few")
def test_what_is_there_is_compared_again_and_too_few_pictures_are_not_enough(output: Path) -> None:
    result = model_convert(DEMO, *POLICY, "--output", output)
    assert result.exit_code == 1
    assert "not enough: 20 pictures were compared, and at least 1000 are wanted" in result.stderr
    assert [each["pictures"] for each in records(output)] == [20]


@pytest.mark.usefixtures("few")
def test_classifiers_are_taken_from_the_given_cache(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def open_classifier(name: str, outputs: Sequence[str], *others: object) -> FakeEngine:
        asked.append(others[-1])
        return fake_classifier(name, outputs)

    monkeypatch.setattr(opening, "open_classifier", open_classifier)
    policy = tmp_path / "p.yaml"
    policy.write_text(WITH_A_CLASSIFIER, "utf-8")
    result = model_convert(DEMO, "--policy", policy, "--output", output, "--cache-folder", tmp_path, "--accept-lower")
    assert result.exit_code == 0, result.output
    assert set(asked) == {tmp_path}
    assert len(asked) >= 2, "of the converted model, and of torch"


@pytest.mark.usefixtures("few")
def test_without_a_policy_top_labels_are_compared(output: Path) -> None:
    result = model_convert(DEMO, "--output", output, "--accept-lower")
    assert result.exit_code == 0
    assert "of the top labels are those of torch" in result.stdout
    assert {each["policy"]: each["accepted_lower"] for each in records(output)} == {
        "demo-red-triangle": False,
        "top-label": True,
    }


def test_given_pictures_are_compared(output: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number, shape in enumerate(("triangle", "star")):
        pixels = draw(np.random.default_rng(number), "red", shape, height_px=96, width_px=120)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{shape}.png")
    result = model_convert(DEMO, *POLICY, "--output", output, "--pictures", tmp_path / "pictures", "--accept-lower")
    assert result.exit_code == 0, result.output
    assert "2 pictures compared" in result.stdout


@pytest.mark.usefixtures("few")
def test_where_bf16_is_computed_torchs_own_bf16_is_what_it_is_measured_by(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_on_a_processor_with_bf16(*arguments):
        engine = open_unrecorded(*arguments)
        engine.computed_in = "bf16"
        return engine

    monkeypatch.setattr(converting, "open_unrecorded", as_on_a_processor_with_bf16)
    result = model_convert(DEMO, *POLICY, "--output", output)
    assert re.search(r"torch in float32; \S+% of those of torch in bf16", result.stdout)
    (record,) = records(output)
    assert (record["computed_in"], record["torch_bf16"] is not None) == ("bf16", True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("what",), "neither 'ARCHITECTURE/TAG'"),
        (("fake",), "no model to load"),
        ((DEMO, "--policy", "nowhere.yaml"), "no policy file"),
        ((DEMO, "--precision", "int8", "--quantise-with", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_converted_is_an_error_and_no_traceback(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = model_convert(*arguments, "--output", tmp_path / "converted")
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", "ascii")
    result = model_convert(DEMO, "--output", tmp_path)
    assert result.exit_code == 2
    assert "name another --output, or take it away first" in result.stderr


@pytest.mark.usefixtures("few")
def test_a_policy_for_another_model_is_an_error(output: Path) -> None:
    result = model_convert(DEMO, "--policy", "shipped:csam", "--output", output)
    assert result.exit_code == 2
    assert "is for the model 'ViT-L-14/openai'" in result.stderr
