"""A converted folder: what is in it, that it runs without torch, and what opens it."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from serve_app.domain import ModelError
from serve_app.models import source_name
from serve_app.models.agreement import TOP_LABEL, Agreement, Agreements, PolicyReference
from serve_app.models.engine import Engine
from serve_app.models.factory import convert_model, open_engine
from serve_app.models.load import load_model
from serve_app.models.openvino.conversion import ConvertedModel, Precision, read_converted
from serve_app.models.openvino.engine import OpenVinoEngine
from serve_app.models.openvino.quantisation_views import QuantisationViews

if TYPE_CHECKING:
    from tests.unit.models.conftest import MakeModel

LABELS = ("a red shape", "a blue shape", "a photograph with no shape")
POLICY = PolicyReference("./my policy.yaml", "cd" * 32)

_WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "open_clip", "nncf", "timm", "huggingface_hub", "PIL", "av"):
    sys.modules[name] = None
import numpy as np
from serve_app.models.factory import open_engine
engine = open_engine(sys.argv[1], tuple(sys.argv[4:]), cpu_threads=1)
assert list(engine.warm_up(4, 1e9)) == [1, 2, 4]
np.save(sys.argv[3], engine.encode(np.load(sys.argv[2])))
"""


def some(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)


def convert(source: str, output: Path | None, cache: Path, precision: Precision = "bf16") -> Path:
    return convert_model(source, precision, lambda _: QuantisationViews.of(some(4)), cache, output, lambda *_: None)


def agreed(converted: ConvertedModel, computed_in: str) -> Agreement:
    return Agreement(
        converted.conversion, "tiny", "p", POLICY.digest, 5000, 1.0, "2026-11-26T01:00:00+00:00", False, computed_in
    )


@pytest.fixture(scope="module")
def source(shared_model: Path) -> str:
    return str(shared_model)


@pytest.fixture(scope="module")
def once(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, converted once for all these tests: into a folder, and in the cache."""
    place = tmp_path_factory.mktemp("once")
    convert(source, place / "converted", place / "unused")
    convert(source, None, place / "cache")
    return place


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of the test's own, with nothing in it."""
    return tmp_path / "cache"


@pytest.fixture
def filled_cache(once: Path, cache: Path) -> Path:
    """The same with the converted model in it."""
    return shutil.copytree(once / "cache", cache)


@pytest.fixture
def folder(once: Path, tmp_path: Path) -> Path:
    """A converted folder of the test's own."""
    return shutil.copytree(once / "converted", tmp_path / "converted")


def test_it_says_what_it_is_made_of(source: str, tmp_path: Path, cache: Path) -> None:
    folder = convert(source, tmp_path / "converted", cache)
    whole, converted = load_model(source), read_converted(folder)
    assert (converted.name, converted.logit_scale, converted.image_size_px) == ("tiny", whole.logit_scale, 32)
    assert converted.conversion.model_digest == whole.identity.digest
    assert converted.files.keys() == {"image.xml", "image.bin", "text.xml", "text.bin", "tokenizer.json"}
    identity = open_engine(str(folder), LABELS, cpu_threads=1).identity
    assert (identity.digest, identity.derived_from) == (converted.conversion.digest, whole.identity.digest)
    assert source_name(str(folder)) == "tiny", "the policy that was written for the model still fits"
    assert not cache.exists()


def test_it_scores_as_torch_does_in_a_process_that_cannot_import_torch(
    folder: Path, source: str, tmp_path: Path
) -> None:
    views = some(6)
    np.save(tmp_path / "views.npy", views)
    files = [str(folder), str(tmp_path / "views.npy"), str(tmp_path / "scores.npy")]
    subprocess.run([sys.executable, "-c", _WITHOUT_TORCH, *files, *LABELS], check=True, timeout=50)
    exact = open_engine(source, LABELS, "cpu", "fp32", 1, "torch").encode(views)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), exact, atol=0.01)


@pytest.mark.parametrize("labels", [1, 2, 9])
def test_any_number_of_labels_is_read(folder: Path, labels: int) -> None:
    engine = open_engine(str(folder), [f"shape {number}" for number in range(labels)], cpu_threads=2)
    assert engine.encode(some(3)).shape == (3, labels)


def test_the_same_conversion_is_not_made_again_and_another_is_refused(
    folder: Path, source: str, cache: Path, make_model: MakeModel
) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert convert(source, folder, cache) == folder
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before
    with pytest.raises(ModelError, match="converted holds something else already: name another --output"):
        convert(str(make_model("other", seed=1)), folder, cache)


def test_a_folder_of_somebody_elses_stays_as_it_is(source: str, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine", "ascii")
    with pytest.raises(ModelError, match="holds something else already"):
        convert(source, tmp_path / "notes", cache)
    assert [file.name for file in (tmp_path / "notes").iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled_and_nothing_else_is_left(source: str, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "below" / "empty").mkdir(parents=True)
    read_converted(convert(source, tmp_path / "below" / "empty", cache))
    assert [file.name for file in (tmp_path / "below").iterdir()] == ["empty"]


def test_a_conversion_that_is_interrupted_leaves_nothing(source: str, tmp_path: Path, cache: Path) -> None:
    def interrupt(step: str, _: float) -> None:
        if step == "writing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_model(source, "bf16", lambda _: QuantisationViews.drawn(), cache, tmp_path / "below" / "it", interrupt)
    assert list((tmp_path / "below").iterdir()) == []


def test_a_damaged_folder_is_refused(folder: Path) -> None:
    (folder / "text.bin").write_bytes(b"half")
    with pytest.raises(ModelError, match="missing or damaged files"):
        open_engine(str(folder), LABELS)


@pytest.mark.parametrize("options", [{"engine": "torch"}, {"device": "cuda"}])
def test_nothing_but_openvino_opens_it(folder: Path, options: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=r"for OpenVINO on a CPU: set model\.engine and model\.device to auto"):
        open_engine(str(folder), LABELS, **options)  # type: ignore[arg-type]


def test_it_is_not_converted_again(folder: Path, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ModelError, match="torch needs the model that it was made of"):
        convert(str(folder), tmp_path / "again", cache)


def test_openvino_runs_what_is_converted_only_and_names_the_command(source: str) -> None:
    with pytest.raises(ModelError, match=rf"`pictwarden model convert {source} --to openvino --output FOLDER`"):
        open_engine(source, LABELS, engine="openvino")


@pytest.mark.parametrize("missing", ["openvino", "tokenizers", "ftfy"])
def test_the_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModelError, match=rf"{missing} cannot be imported: .*'\.\[openvino\]'"):
        open_engine(str(folder), LABELS)


def test_another_version_of_openvino_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    converted = read_converted(folder)
    replace(converted, conversion=replace(converted.conversion, openvino="2025.1")).write(folder)
    open_engine(str(folder), LABELS, cpu_threads=1)
    assert "was converted with OpenVINO 2025.1" in caplog.text


def test_in_int8_it_starts_with_a_record_of_its_own(source: str, tmp_path: Path, cache: Path) -> None:
    folder = convert(source, tmp_path / "int8", cache, "int8")
    with pytest.raises(ModelError, match="for a policy only"):
        open_engine(str(folder), LABELS)
    with pytest.raises(ModelError, match=r"no record.*pictwarden model convert tiny .*--precision int8 --policy"):
        open_engine(str(folder), LABELS, policy=POLICY)
    Agreements(folder).record(agreed(read_converted(folder), "f32"))
    for engine in ("auto", "openvino", "openvino-int8"):
        assert open_engine(str(folder), LABELS, engine=engine, policy=POLICY).identity.name == "tiny"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"precision": "fp32"}, "set model.precision to auto"), ({"engine": "openvino-int8"}, "not converted to int8")],
)
def test_a_folder_is_not_run_as_something_else(folder: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        open_engine(str(folder), LABELS, policy=POLICY, **options)


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch):
    from serve_app.models.torch_engine import ClipEngine

    def set_to(torch: dict[int, float], openvino: dict[int, float]) -> None:
        monkeypatch.setattr(ClipEngine, "warm_up", lambda *_: torch)
        monkeypatch.setattr(OpenVinoEngine, "warm_up", lambda *_: openvino)

    set_to({1: 0.04, 16: 0.4}, {1: 0.02, 16: 0.2})
    return set_to


def opened(source: str, cache: Path, **options: Any) -> Engine:
    return open_engine(source, LABELS, "cpu", cpu_threads=1, policy=POLICY, cache_folder=cache, **options)


@pytest.mark.usefixtures("speeds")
@pytest.mark.parametrize("policy", [POLICY.digest, TOP_LABEL])
def test_auto_takes_what_is_converted_agrees_and_is_faster_and_says_so(
    source: str, filled_cache: Path, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    converted = read_converted(convert(source, None, filled_cache))
    computed_in = open_engine_in_cache(filled_cache).computed_in
    Agreements(filled_cache).record(replace(agreed(converted, computed_in), policy_digest=policy))
    with caplog.at_level(logging.INFO, "serve_app"):
        assert opened(source, filled_cache).identity.digest == converted.conversion.digest
    said = f"engine auto: openvino-{computed_in} 50.0 views/s at batch 1 and 80.0 at 16, torch-fp32 25.0 and 40.0"
    assert f"{said}: took openvino-{computed_in}" in caplog.text


@pytest.mark.parametrize("openvino", [{1: 0.05, 16: 0.2}, {1: 0.02, 16: 0.5}])
def test_auto_stays_with_torch_where_either_is_slower(
    source: str, filled_cache: Path, speeds, openvino: dict[int, float], caplog: pytest.LogCaptureFixture
) -> None:
    speeds({1: 0.04, 16: 0.4}, openvino)
    converted = read_converted(convert(source, None, filled_cache))
    Agreements(filled_cache).record(agreed(converted, open_engine_in_cache(filled_cache).computed_in))
    with caplog.at_level(logging.INFO, "serve_app"):
        assert opened(source, filled_cache).identity.derived_from is None
    assert "took torch-fp32" in caplog.text


@pytest.mark.usefixtures("speeds")
@pytest.mark.parametrize(
    "changed",
    [{"torch_bf16": 1.0, "agreement": 0.9999}, {"pictures": 10}, {"computed_in": "f16"}, {"policy_digest": "ef" * 32}],
)
def test_auto_stays_with_torch_without_a_record_that_is_enough(
    source: str, filled_cache: Path, changed: dict[str, object]
) -> None:
    converted = read_converted(convert(source, None, filled_cache))
    enough = agreed(converted, open_engine_in_cache(filled_cache).computed_in)
    Agreements(filled_cache).record(replace(enough, **changed))  # type: ignore[arg-type]
    assert opened(source, filled_cache).identity.derived_from is None


@pytest.mark.usefixtures("speeds")
def test_a_comparison_under_the_policy_counts_for_more_than_one_of_labels(source: str, filled_cache: Path) -> None:
    converted = read_converted(convert(source, None, filled_cache))
    enough = agreed(converted, open_engine_in_cache(filled_cache).computed_in)
    Agreements(filled_cache).record(replace(enough, policy_digest=TOP_LABEL))
    assert opened(source, filled_cache).identity.derived_from is not None
    Agreements(filled_cache).record(replace(enough, agreement=0.5))
    assert opened(source, filled_cache).identity.derived_from is None


@pytest.mark.usefixtures("speeds")
@pytest.mark.parametrize("options", [{"engine": "torch"}, {"precision": "fp32"}])
def test_who_names_torch_or_float32_gets_it(source: str, filled_cache: Path, options: dict[str, str]) -> None:
    converted = read_converted(convert(source, None, filled_cache))
    Agreements(filled_cache).record(agreed(converted, open_engine_in_cache(filled_cache).computed_in))
    assert opened(source, filled_cache, **options).identity.derived_from is None


@pytest.mark.usefixtures("speeds")
def test_auto_stays_with_torch_where_the_extra_is_missing(
    source: str, filled_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    converted = read_converted(convert(source, None, filled_cache))
    Agreements(filled_cache).record(agreed(converted, open_engine_in_cache(filled_cache).computed_in))
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert opened(source, filled_cache).identity.derived_from is None
    assert "engine auto: torch, since the converted model in the cache cannot be opened" in caplog.text


def open_engine_in_cache(cache: Path) -> OpenVinoEngine:
    (folder,) = (cache / "models").iterdir()
    engine = open_engine(str(folder), LABELS, cpu_threads=1)
    assert isinstance(engine, OpenVinoEngine)
    return engine
