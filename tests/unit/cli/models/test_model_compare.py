"""`pictwarden model compare`: what is shown, what is recorded, and the exit code that a script goes by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.cli.models import comparing
from serve_app.domain import PolicyError
from serve_app.models.demo.draw import draw
from serve_app.models.factory import open_engine, open_quantised
from serve_app.models.openvino.quantisation_views import QuantisationViews
from serve_app.policy import shipped_text

POLICY = """\
policy: colours
model: fake
concepts:
  red: {score: cosine, prompts: [a red view]}
rules:
  - {name: no-red, verdict: reject, when: {concept: red, above: 0.5}}
"""
DEMO = ("--model", "embedded:demo-shapes", "--policy", "shipped:demo-red-triangle")


def model_compare(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["model", "compare", *map(str, arguments)])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for place, (colour, shape) in enumerate([("red", "triangle"), ("blue", "circle"), ("green", "star")]):
        pixels = draw(np.random.default_rng(place), colour, shape, height_px=96, width_px=96, size=0.6)
        Image.fromarray(pixels).save(folder / f"{place} [{shape}].png")
    return folder


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the demo model, quantised once for all these tests."""
    folder = tmp_path_factory.mktemp("converted")
    open_quantised(DEMO[1], ("a shape",), lambda _: QuantisationViews.drawn(), folder, 1, lambda *_: None)
    return folder


@pytest.fixture
def cache(tmp_path: Path, converted: Path) -> Path:
    """A cache of the test's own, with nothing recorded yet."""
    return shutil.copytree(converted, tmp_path / "cache")


def records(cache: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text("utf-8")) for file in (cache / "agreements").glob("*.json")]


def test_too_few_pictures_are_compared_and_recorded_and_not_enough(pictures: Path, cache: Path) -> None:
    result = model_compare(pictures, *DEMO, "--cache-folder", cache, "--cpu-threads", 1)
    assert result.exit_code == 1, result.output
    assert "3 pictures compared (0 files skipped: not pictures)" in result.stdout
    assert "does not suffice: 3 pictures were compared, and at least 1000 are wanted" in result.stderr
    (record,) = records(cache)
    assert (record["model"], record["pictures"], record["accepted_lower"]) == ("demo-shapes", 3, False)


def test_accept_lower_is_recorded(pictures: Path, cache: Path) -> None:
    result = model_compare(pictures, *DEMO, "--cache-folder", cache, "--cpu-threads", 1, "--accept-lower")
    assert result.exit_code == 0, result.output
    assert "every start will log it" in result.stderr
    assert [each["accepted_lower"] for each in records(cache)] == [True]


def test_quantising_with_photographs_makes_another_model(pictures: Path, cache: Path) -> None:
    for options in ((), ("--quantise-with", pictures)):
        model_compare(pictures, *DEMO, "--cache-folder", cache, "--cpu-threads", 1, *options)
    drawn, photographs = sorted(each["conversion"]["calibration"] for each in records(cache))
    assert (drawn, photographs.rpartition("-")[0]) == (QuantisationViews.drawn().name, "photographs")


def test_json_is_one_object_and_nothing_else(pictures: Path, cache: Path) -> None:
    result = model_compare(pictures, *DEMO, "--cache-folder", cache, "--cpu-threads", 1, "--json")
    said = json.loads(result.stdout)
    assert said["engines"] == ["torch", "openvino-int8"]
    assert said["pictures"] == 3
    assert set(said["concepts"]) == {"red", "triangle"}
    assert 0 <= said["agreement"] <= 1
    assert said["cosines"]["largest"] > 0


def test_enough_pictures_that_agree_are_enough(pictures: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = sorted(pictures.iterdir()) * 400
    monkeypatch.setattr(comparing, "pictures_in", lambda _: many)
    policy = pictures.parent / "colours.yaml"
    policy.write_text(POLICY, "utf-8")
    engines = ("--engines", "torch", "torch-fp32")
    result = model_compare(pictures, "--model", "fake", "--policy", policy, "--cache-folder", cache, *engines)
    assert result.exit_code == 0, result.output
    assert "1,200 pictures compared" in result.stdout
    assert "100.00% of the verdicts agree" in result.stdout
    assert records(cache) == [], "only what is quantised needs a record"


def test_what_is_judged_differently_is_shown_by_name(
    pictures: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_labels(model, labels, device, precision, threads, engine):
        return open_engine(
            model, [*labels[:-1], "nothing"] if precision == "fp32" else labels, device, precision, threads, engine
        )

    monkeypatch.setattr(comparing, "open_engine", other_labels)
    policy = pictures.parent / "colours.yaml"
    policy.write_text(POLICY.replace("0.5", "0.05"), "utf-8")
    Image.new("RGB", (20, 20), (255, 0, 0)).save(pictures / "red [bold].png")
    engines = ("--engines", "torch", "torch-fp32")
    result = model_compare(pictures, "--model", "fake", "--policy", policy, *engines)
    assert result.exit_code == 1
    assert "red [bold].png" in result.stdout
    assert "reject no-red (+0.950)" in result.stdout
    assert "accept - (-0.050)" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--engines", "torch", "tensorrt"), "unknown engine 'tensorrt'"),
        (("--model", "what"), "neither"),
        (("--policy", "nowhere.yaml"), "no policy file"),
        (("--calibrate", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_compared_is_an_error_and_no_traceback(
    pictures: Path, cache: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = model_compare(pictures, *DEMO, "--cache-folder", cache, "--cpu-threads", 1, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


@pytest.mark.parametrize(
    ("policy", "says"), [("shipped:nsfw", "has no prompts"), ("shipped:two-step", "has no prompts"), (None, "look")]
)
def test_a_policy_that_tells_no_engines_apart_is_refused(tmp_path: Path, policy: str | None, says: str) -> None:
    beside = shipped_text("two-step").replace(
        "concepts:", "model: demo-shapes\nconcepts:\n  red: {score: cosine, prompts: [x]}"
    )
    (tmp_path / "p.yaml").write_text(beside, "utf-8")
    with pytest.raises(PolicyError, match=says):
        comparing.policy_with_prompts(policy or str(tmp_path / "p.yaml"))


def test_a_folder_without_pictures_is_an_error_and_nothing_is_recorded(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no picture", "ascii")
    result = model_compare(tmp_path / "texts", *DEMO, "--cache-folder", cache, "--cpu-threads", 1)
    assert result.exit_code == 2
    assert "(1 files skipped: not pictures)" in result.stderr
    assert records(cache) == []
