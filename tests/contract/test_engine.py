"""What every engine does: the fake one, torch's and OpenVINO's with a tiny model of random weights, a classifier."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.models.engine import Engine, buckets
from serve_app.models.factory import convert_model, open_engine, open_quantised
from serve_app.models.fake import FakeEngine
from serve_app.models.openvino.quantisation_views import QuantisationViews
from tests.signal_stack import signal_stack

LABELS = ("a red view", "a green view", "something else")
CLASSIFIED = ("open-nsfw/nsfw", "open-nsfw/sfw")
TOGETHER = ("open-nsfw/nsfw", "a red view", "a green view")
TINY_MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PREPROCESSING = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "size": [32, 32], "mode": "RGB"}


def make_fake(_: Path) -> Engine:
    return FakeEngine(LABELS)


def make_tiny_model(folder: Path) -> str:
    # Imported here: torch takes seconds, which the fake engine's tests need not pay.
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(7)
    network = open_clip.CLIP(**TINY_MODEL)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": TINY_MODEL, "preprocess_cfg": PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(config), "utf-8")
    return str(folder)


def make_torch_for_an_accelerator(folder: Path) -> Engine:
    import torch

    from serve_app.models.cuda_engine import CudaClipEngine
    from serve_app.models.load import load_model
    from tests.host_accelerator import HostAccelerator

    engine = CudaClipEngine(load_model(make_tiny_model(folder)), LABELS, torch.float32, HostAccelerator())
    engine.warm_up(8, max_pass_s=1e9)
    return engine


def make_torch_on_cuda(folder: Path) -> Engine:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    engine = open_engine(make_tiny_model(folder), LABELS, device="cuda", precision="fp32")
    engine.warm_up(8, max_pass_s=1e9)
    return engine


def make_torch(folder: Path, threads: int = 1) -> Engine:
    return open_engine(make_tiny_model(folder), LABELS, device="cpu", precision="fp32", cpu_threads=threads)


def make_openvino(folder: Path, threads: int = 1) -> Engine:
    def calibrate(_: int) -> QuantisationViews:
        return QuantisationViews.drawn()

    engine, _ = open_quantised(make_tiny_model(folder), LABELS, calibrate, folder, threads, lambda *_: None)
    return engine


def make_converted(folder: Path, threads: int = 1) -> Engine:
    def calibrate(_: int) -> QuantisationViews:
        return QuantisationViews.drawn()

    output = folder / "converted"
    convert_model(make_tiny_model(folder), "bf16", calibrate, folder, output, lambda *_: None)
    return open_engine(str(output), LABELS, cpu_threads=threads)


def make_classifier(_: Path, threads: int = 1) -> Engine:
    pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")
    return open_engine(None, CLASSIFIED, device="cpu", cpu_threads=threads)


def make_ensemble(_: Path) -> Engine:
    pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")
    return open_engine("fake", TOGETHER, device="cpu", cpu_threads=1)


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "fake": make_fake,
    "torch": make_torch,
    "torch, 2 threads": partial(make_torch, threads=2),
    "torch for an accelerator": make_torch_for_an_accelerator,
    "torch on CUDA": make_torch_on_cuda,
    "openvino": make_converted,
    "openvino, 2 threads": partial(make_converted, threads=2),
    "openvino-int8": make_openvino,
    "openvino-int8, 2 threads": partial(make_openvino, threads=2),
    "classifier": make_classifier,
    "classifier, 2 threads": partial(make_classifier, threads=2),
    "ensemble": make_ensemble,
}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return ENGINES[request.param](tmp_path_factory.mktemp(request.param))


def views(engine: Engine, count: int, seed: int = 3) -> NDArray[np.uint8]:
    size_px = engine.identity.image_size_px
    return np.random.default_rng(seed).integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)


def test_the_identity_is_complete(engine: Engine) -> None:
    assert engine.identity.name
    assert len(bytes.fromhex(engine.identity.digest)) == 32
    assert engine.identity.image_size_px > 0
    assert np.isfinite(engine.logit_scale)
    assert engine.logit_scale > 0


@pytest.mark.parametrize("make", ENGINES.values(), ids=ENGINES)
def test_a_signal_is_handled_after_an_engine_as_before(make: Callable[[Path], Engine], tmp_path: Path) -> None:
    before = signal_stack()
    engine = make(tmp_path)
    engine.encode(views(engine, 1))
    assert signal_stack() == before, "a library that gives this thread a stack takes it away one day"


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_view_has_a_score_for_every_label(engine: Engine, count: int) -> None:
    scores = engine.encode(views(engine, count))
    labels = CLASSIFIED if engine.identity.name == "open-nsfw" else LABELS
    assert (scores.shape, scores.dtype) == ((count, len(labels)), np.dtype(np.float32))
    assert np.isfinite(scores).all()
    assert np.abs(scores).max() <= 1 + 1e-5


@pytest.mark.parametrize("value", [0, 255])
def test_flat_views_are_scored_too(engine: Engine, value: int) -> None:
    cosines = engine.encode(np.full_like(views(engine, 2), value))
    assert np.isfinite(cosines).all()
    np.testing.assert_allclose(cosines[0], cosines[1], atol=1e-6)


def test_the_same_views_have_the_same_scores(engine: Engine) -> None:
    pixels = views(engine, 4)
    before = pixels.copy()
    np.testing.assert_array_equal(engine.encode(pixels), engine.encode(pixels.copy()))
    np.testing.assert_array_equal(pixels, before, "the pixels are the caller's")


def test_a_view_scores_the_same_alone_and_in_a_batch(engine: Engine) -> None:
    pixels = views(engine, 8)
    together = engine.encode(pixels)
    alone = np.concatenate([engine.encode(pixels[index : index + 1]) for index in range(8)])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_uploaded_views_score_as_unuploaded_ones_do(engine: Engine) -> None:
    pixels = views(engine, 5)
    np.testing.assert_array_equal(engine.encode(engine.upload(list(pixels))), engine.encode(pixels))


def test_a_batch_may_be_uploaded_before_the_one_ahead_of_it_is_encoded(engine: Engine) -> None:
    batches = [views(engine, 3), views(engine, 5, seed=4)]
    expected = [engine.encode(batch) for batch in batches]
    uploaded = [engine.upload(list(batch)) for batch in batches]
    for ahead, cosines in zip(uploaded, expected, strict=True):
        np.testing.assert_array_equal(engine.encode(ahead), cosines)


def test_different_views_score_differently(engine: Engine) -> None:
    cosines = engine.encode(views(engine, 2))
    assert np.abs(cosines[0] - cosines[1]).max() > 1e-6


@pytest.mark.parametrize("max_batch_views", [1, 2, 6, 8])
def test_every_bucket_is_warmed(engine: Engine, max_batch_views: int) -> None:
    pass_s = engine.warm_up(max_batch_views, max_pass_s=1e9)
    assert list(pass_s) == buckets(max_batch_views)
    assert all(seconds >= 0 for seconds in pass_s.values())


def test_buckets_that_take_too_long_are_left_out_except_the_first(engine: Engine) -> None:
    pass_s = engine.warm_up(8, max_pass_s=0.0)
    sizes = list(pass_s)
    assert sizes == buckets(8)[: len(sizes)]
    assert sizes[0] == 1
    assert all(pass_s[size] <= 0.0 for size in sizes[1:])


@pytest.mark.parametrize(
    ("max_batch_views", "sizes"),
    [(0, [1]), (1, [1]), (3, [1, 2]), (32, [1, 2, 4, 8, 16, 32]), (1000, [1, 2, 4, 8, 16, 32, 64, 128])],
)
def test_buckets_are_few_powers_of_two(max_batch_views: int, sizes: list[int]) -> None:
    assert buckets(max_batch_views) == sizes


def test_the_fake_engine_knows_colours() -> None:
    pixels = np.zeros((3, 8, 8, 3), np.uint8)
    pixels[0, ..., 0] = pixels[1, ..., 1] = pixels[2, ..., :] = 255
    np.testing.assert_allclose(
        FakeEngine(LABELS).encode(pixels), [[1.0, -0.5, 0.0], [-0.5, 1.0, 0.0], [0.0] * 3], atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "uploads_ahead", "shares_cores"),
    [
        ("fake", False, True),
        ("torch", False, True),
        ("torch for an accelerator", True, False),
        ("openvino", False, True),
        ("classifier", False, True),
        ("ensemble", False, True),
    ],
)
def test_a_device_of_its_own_is_uploaded_ahead_for_and_shares_no_cores(
    tmp_path: Path, name: str, uploads_ahead: bool, shares_cores: bool
) -> None:
    engine = ENGINES[name](tmp_path)
    assert (engine.uploads_ahead, engine.shares_cores) == (uploads_ahead, shares_cores)
