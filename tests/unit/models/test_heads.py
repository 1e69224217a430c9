"""Heads: their files, and engines that score with them."""

from __future__ import annotations

import errno
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from serve_app.domain import HeadFile, ModelError, ModelIdentity, head_label
from serve_app.models.agreement import PolicyReference
from serve_app.models.cuda_engine import CudaClipEngine
from serve_app.models.factory import convert_model, open_embedding, open_engine
from serve_app.models.heads import Head, every_direction, read_head, write_head
from serve_app.models.load import load_model
from serve_app.models.openvino.quantisation_views import QuantisationViews
from tests.host_accelerator import HostAccelerator

if TYPE_CHECKING:
    from tests.unit.models.conftest import MakeModel

WIDTH = 16


def head(direction: NDArray[np.float32] | None = None, digest: str = "a" * 64) -> Head:
    unit = np.eye(1, WIDTH, dtype=np.float32)[0] if direction is None else direction
    return Head("tiny", digest, unit, 8.0, -2.0, {"date": "2026-11-26"})


def views(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (count, 32, 32, 3), np.uint8)


def policy_with(file: Path, digest: str) -> tuple[str, PolicyReference]:
    label = head_label("spam", digest)
    return label, PolicyReference("p.yaml", "0" * 64, {label: HeadFile(file, digest)})


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = head()
    digest = write_head(tmp_path / "spam.safetensors", written)
    read = read_head(HeadFile(tmp_path / "spam.safetensors", digest[:12]))
    np.testing.assert_array_equal(read.direction, written.direction)
    assert (read.model, read.model_digest, read.scale, read.bias) == ("tiny", "a" * 64, 8.0, -2.0)
    assert read.trained_on == {"date": "2026-11-26"}
    with pytest.raises(FileExistsError):
        write_head(tmp_path / "spam.safetensors", written)


def test_another_file_is_told_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "spam.safetensors"
    with pytest.raises(ModelError, match=r"cannot be read \(No such file or directory\): copy it there"):
        read_head(HeadFile(file, "a" * 12))
    with pytest.raises(ModelError, match=r"cannot be read \(no file can have this name\)"):
        read_head(HeadFile(Path("a\0b"), "a" * 12))
    digest = write_head(file, head())
    with pytest.raises(ModelError, match=f"write digest: {digest[:12]} and measure its threshold again"):
        read_head(HeadFile(file, "a" * 12))
    with pytest.raises(ModelError, match="is not the one that the policy names"):
        read_head(HeadFile(file, digest[:-1] + ("0" if digest[-1] != "0" else "1")))


def test_a_full_disk_leaves_no_half_of_a_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("serve_app.models.heads.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_head(tmp_path / "spam.safetensors", head())
    assert not list(tmp_path.iterdir())


@given(st.binary(max_size=200))
def test_every_file_that_is_no_head_is_told(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spam.safetensors"
        file.write_bytes(content)
        with pytest.raises(ModelError, match="is no head that `pictwarden train` has written"):
            read_head(HeadFile(file, hashlib.sha256(content).hexdigest()))


@given(st.floats(-1, 1, width=32), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_every_cosine_becomes_a_probability(cosine: float, scale: float, bias: float) -> None:
    given_head = Head("tiny", "a" * 64, np.ones(1, np.float32), scale, bias, {})
    (probability,) = given_head.probabilities(np.array([cosine], np.float32))
    assert 0 <= probability <= 1
    if abs(logit := scale * cosine + bias) < 500:
        assert probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)


@pytest.fixture(params=["torch", "openvino"])
def source(request: pytest.FixtureRequest, make_model: MakeModel, tmp_path: Path) -> str:
    folder = str(make_model("tiny"))
    if request.param == "torch":
        return folder
    output = tmp_path / "converted"
    convert_model(folder, "bf16", lambda _: QuantisationViews.drawn(), tmp_path, output, lambda *_: None)
    return str(output)


def test_an_embedding_has_length_one_and_a_head_reads_it(source: str, tmp_path: Path) -> None:
    embedding = open_embedding(source, None)
    features = embedding.encode(views(5))
    assert features.shape == (5, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-3)
    identity = embedding.identity
    trained = head(features[0] / np.linalg.norm(features[0]), identity.derived_from or identity.digest)
    label, policy = policy_with(tmp_path / "s.safetensors", write_head(tmp_path / "s.safetensors", trained))
    engine = open_engine(source, ("a red view", label, "a green view"), cpu_threads=1, policy=policy)
    scores = engine.encode(engine.upload(list(views(5))))
    plain = open_engine(source, ("a red view", "a green view"), cpu_threads=1).encode(views(5))
    np.testing.assert_allclose(scores[:, [0, 2]], plain, atol=1e-5)
    np.testing.assert_allclose(scores[:, 1], trained.probabilities(features @ trained.direction), atol=1e-5)
    assert scores[:, 1].argmax() == 0
    alone = open_engine(source, (label,), cpu_threads=1, policy=policy)
    np.testing.assert_allclose(alone.encode(views(5))[:, 0], scores[:, 1], atol=1e-5)
    assert list(engine.warm_up(4, 1e9)) == [1, 2, 4]


def test_an_accelerator_gives_cosines_to_directions_too(make_model: MakeModel) -> None:
    model = load_model(str(make_model("tiny")))
    engine = CudaClipEngine(model, ("a red view",), torch.float32, HostAccelerator(), every_direction)
    engine.warm_up(4, 1e9)
    np.testing.assert_allclose(np.linalg.norm(engine.encode(views(3))[:, 1:], axis=1), 1, atol=1e-3)


def test_a_head_for_other_weights_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    source = str(make_model("tiny"))
    label, policy = policy_with(tmp_path / "s.safetensors", write_head(tmp_path / "s.safetensors", head()))
    with pytest.raises(ModelError, match="was trained on tiny@aaaaaaaaaaaa, and the loaded model is tiny@"):
        open_engine(source, (label,), policy=policy)
    with pytest.raises(ModelError, match="whose embedding has 16 numbers, and the loaded model's has 3"):
        open_engine("fake", (label,), policy=policy)


def test_a_converted_model_has_the_embedding_of_its_original() -> None:
    converted = ModelIdentity("tiny", "b" * 64, 32, derived_from="a" * 64)
    head().require_model("s.safetensors", converted)


def test_a_model_in_int8_scores_no_heads(make_model: MakeModel, tmp_path: Path) -> None:
    source, output = str(make_model("tiny")), tmp_path / "converted"
    convert_model(source, "int8", lambda _: QuantisationViews.drawn(), tmp_path, output, lambda *_: None)
    label, policy = policy_with(tmp_path / "s.safetensors", write_head(tmp_path / "s.safetensors", head()))
    for place, engine in ((str(output), "auto"), (source, "openvino-int8")):
        with pytest.raises(ModelError, match="take torch, or a model that was converted to bf16"):
            open_engine(place, (label,), policy=policy, cpu_threads=1, engine=engine)
    with pytest.raises(ModelError, match="take torch, or a model that was converted to bf16"):
        open_embedding(str(output), None)
