"""The engine's numbers are open_clip's own numbers, at any batch size."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from serve_app.models import fastest, torch_factory
from serve_app.models.factory import open_engine
from serve_app.models.load import LoadedModel, load_model
from serve_app.models.torch_engine import ClipEngine

if TYPE_CHECKING:
    from tests.unit.models.conftest import MakeModel

LABELS = ("a red shape", "a blue shape", "a photograph with no shape at all")


def random_views(views: int) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (views, 32, 32, 3), np.uint8)


@pytest.fixture
def engine(make_model: MakeModel) -> ClipEngine:
    return ClipEngine(load_model(str(make_model("tiny"))), LABELS, torch.float32, 1)


def test_the_cosines_are_those_of_open_clips_own_preprocessing(make_model: MakeModel) -> None:
    folder = make_model("tiny")
    network, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(list(LABELS))
    pixels = random_views(3)
    with torch.inference_mode():
        planes = torch.stack([preprocess(Image.fromarray(view)) for view in pixels])
        images = network.eval().encode_image(planes, normalize=True)
        expected = (images @ network.encode_text(tokens, normalize=True).T).numpy()

    cosines = ClipEngine(load_model(str(folder)), LABELS, torch.float32, 1).encode(pixels)

    assert (cosines.shape, cosines.dtype) == ((3, len(LABELS)), np.dtype(np.float32))
    assert np.abs(cosines).max() <= 1 + 1e-6
    np.testing.assert_allclose(cosines, expected, atol=1e-5)


def test_a_view_scores_the_same_alone_and_in_a_batch(engine: ClipEngine) -> None:
    pixels = random_views(5)
    alone = np.concatenate([engine.encode(pixels[[place]]) for place in range(5)])
    np.testing.assert_allclose(engine.encode(pixels), alone, atol=1e-5)


def test_views_need_not_be_contiguous(engine: ClipEngine) -> None:
    pixels = random_views(4)
    every_other = pixels[::2]
    np.testing.assert_allclose(engine.encode(every_other), engine.encode(every_other.copy()), atol=1e-6)


def test_half_precision_stays_close_and_answers_in_float32(make_model: MakeModel) -> None:
    folder, pixels = make_model("tiny"), random_views(2)
    full = ClipEngine(load_model(str(folder)), LABELS, torch.float32, 1).encode(pixels)
    half = ClipEngine(load_model(str(folder)), LABELS, torch.bfloat16, 1).encode(pixels)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, atol=0.05)


@pytest.mark.parametrize(("max_batch_views", "sizes"), [(1, [1]), (6, [1, 2, 4]), (8, [1, 2, 4, 8])])
def test_warm_up_runs_powers_of_two(engine: ClipEngine, max_batch_views: int, sizes: list[int]) -> None:
    seconds = engine.warm_up(max_batch_views, max_pass_s=60.0)
    assert list(seconds) == sizes
    assert min(seconds.values()) > 0


def test_warm_up_leaves_out_what_takes_too_long_but_never_the_single_view(engine: ClipEngine) -> None:
    assert list(engine.warm_up(8, max_pass_s=0.0)) == [1]


def test_the_engine_is_opened_by_its_source(make_model: MakeModel) -> None:
    threads = torch.get_num_threads()
    try:
        engine = open_engine(str(make_model("tiny")), LABELS, "cpu", "fp32", cpu_threads=1)
    finally:
        torch.set_num_threads(threads)
    assert (engine.identity.name, engine.identity.image_size_px) == ("tiny", 32)
    assert engine.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    assert engine.encode(random_views(1)).shape == (1, len(LABELS))


@pytest.mark.parametrize(("engine", "module"), [("auto", fastest), ("torch", torch_factory)])
def test_what_opened_the_engine_has_ended_with_the_threads_that_helped_it(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: str, module: ModuleType
) -> None:
    opened_by: list[threading.Thread] = []

    def spy(source: str) -> LoadedModel:
        opened_by.append(threading.current_thread())
        return load_model(source)

    monkeypatch.setattr(module, "load_model", spy)
    open_engine(str(make_model("tiny")), LABELS, "cpu", "fp32", 1, engine, cache_folder=tmp_path / "cache")
    assert [thread.is_alive() for thread in opened_by] == [False]


def test_shares_leave_the_threads_of_a_pass_that_is_computed_together(make_model: MakeModel) -> None:
    threads = torch.get_num_threads()
    try:
        engine = ClipEngine(load_model(str(make_model("tiny"))), LABELS, torch.float32, 2)
        torch.set_num_threads(3)
        engine.encode(random_views(8))
        assert torch.get_num_threads() == 3, "shares count the threads of their own threads alone"
        engine.encode(random_views(1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
