"""The accelerator's engine on the CPU: what it uploads, what it computes, what it does when memory is short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from serve_app.domain import DeviceMemoryError, ModelError, ViewPlace, Views
from serve_app.models.accelerator import out_of_memory_is_ours
from serve_app.models.cuda_engine import CudaClipEngine
from serve_app.models.load import load_model
from serve_app.models.passes import warm_for_passes
from serve_app.models.torch_engine import ClipEngine
from serve_app.models.with_faces import scores_of
from tests.host_accelerator import HostAccelerator

if TYPE_CHECKING:
    from tests.unit.models.conftest import MakeModel

LABELS = ("a red shape", "a blue shape")


class SmallAccelerator(HostAccelerator):
    """Has memory for passes of so many views; counts what is captured and launched."""

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.captured = 0
        self.launched: list[int] = []

    def capture(self, compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        self.captured += 1

        def launch() -> torch.Tensor:
            cosines = compute()
            self.launched.append(len(cosines))
            if len(cosines) > self.fits:
                raise torch.OutOfMemoryError("out of memory, as a CUDA device says it")
            return cosines

        return launch


def random_views(views: int, seed: int = 7) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (views, 32, 32, 3), np.uint8)


@pytest.fixture
def folder(make_model: MakeModel) -> Path:
    return make_model("tiny")


@pytest.fixture
def make_engine(folder: Path):
    def make(fits: int = 1000) -> tuple[CudaClipEngine, SmallAccelerator]:
        accelerator = SmallAccelerator(fits)
        return CudaClipEngine(load_model(str(folder)), LABELS, torch.float32, accelerator), accelerator

    return make


def test_the_cosines_are_those_of_the_engine_for_the_cpu(make_engine, folder: Path) -> None:
    engine, _ = make_engine()
    engine.warm_up(8, max_pass_s=60.0)
    plain = ClipEngine(load_model(str(folder)), LABELS, torch.float32, 1)
    pixels = random_views(5)
    np.testing.assert_allclose(engine.encode(pixels), plain.encode(pixels), atol=1e-5)


def test_a_command_gets_scores_of_it(make_engine) -> None:
    engine, _ = make_engine()
    warm_for_passes(engine)
    place = ViewPlace(0, (0.0, 0.0, 1.0, 1.0))
    several = [Views(random_views(count), (place,) * count, "image/png", 1, 1) for count in (3, 40)]
    assert [len(each.values) for each in scores_of(engine, *several)] == [3, 40]


def test_each_bucket_is_captured_once_and_a_batch_is_filled_up_to_its_bucket(make_engine) -> None:
    engine, accelerator = make_engine()
    assert list(engine.warm_up(8, max_pass_s=60.0)) == [1, 2, 4, 8]
    accelerator.launched.clear()
    for views in (1, 3, 5, 8):
        assert engine.encode(random_views(views)).shape == (views, len(LABELS))
    assert accelerator.launched == [1, 4, 8, 8]
    assert accelerator.captured == 4


def test_what_fills_a_bucket_up_changes_nothing(make_engine) -> None:
    engine, _ = make_engine()
    engine.warm_up(8, max_pass_s=60.0)
    pixels = random_views(3)
    alone = engine.encode(pixels)
    for seed in (1, 2):
        engine.encode(random_views(8, seed))  # both places for a batch now hold other pictures' views
    np.testing.assert_array_equal(engine.encode(pixels), alone)


def test_there_is_room_for_two_batches_and_no_third(make_engine) -> None:
    engine, _ = make_engine()
    engine.warm_up(2, max_pass_s=60.0)
    uploaded = [engine.upload(list(random_views(1, seed))) for seed in (1, 2)]
    with pytest.raises(RuntimeError, match="no room for a third"):
        engine.upload(list(random_views(1)))
    for batch in uploaded:
        engine.encode(batch)
    engine.encode(random_views(1))


def test_a_batch_that_cannot_be_uploaded_takes_no_room(make_engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, accelerator = make_engine()
    engine.warm_up(2, max_pass_s=60.0)

    def fail(*_: object) -> None:
        raise RuntimeError("the device is gone")

    with monkeypatch.context() as patched:
        patched.setattr(accelerator, "upload", fail)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="the device is gone"):
                engine.upload(random_views(2))
            with pytest.raises(ValueError, match="same shape"):
                engine.upload([random_views(1)[0], np.zeros((1, 1, 3), np.uint8)])
    assert engine.encode(random_views(2)).shape == (2, len(LABELS))


def test_buckets_that_do_not_fit_into_memory_are_left_out(make_engine) -> None:
    engine, _ = make_engine(fits=3)
    assert list(engine.warm_up(16, max_pass_s=60.0)) == [1, 2]
    assert engine.encode(random_views(2)).shape == (2, len(LABELS))


def test_a_device_without_room_for_one_view_is_told_at_start(make_engine) -> None:
    engine, _ = make_engine(fits=0)
    with pytest.raises(ModelError, match="not even one view"):
        engine.warm_up(8, max_pass_s=60.0)


def test_memory_that_runs_out_later_is_told_and_the_engine_goes_on(make_engine) -> None:
    engine, accelerator = make_engine()
    engine.warm_up(4, max_pass_s=60.0)
    accelerator.fits = 2
    with pytest.raises(DeviceMemoryError):
        engine.encode(random_views(4))
    for _ in range(3):
        assert engine.encode(random_views(2)).shape == (2, len(LABELS))


def test_other_errors_of_torch_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_is_ours():
        raise RuntimeError("shapes do not fit")
    with pytest.raises(DeviceMemoryError), out_of_memory_is_ours():
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
