"""Which device and precision are chosen. These tests run where CUDA may or may not be: both are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from serve_app.domain import ModelError
from serve_app.models.device import Device, choose_device, use_cpu_threads

SMALL, LARGE = 400_000, 88_000_000


@pytest.fixture
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
@pytest.mark.parametrize("parameters", [SMALL, LARGE])
def test_a_precision_that_is_asked_for_is_taken(precision: str, dtype: torch.dtype, parameters: int) -> None:
    assert choose_device("cpu", precision, parameters) == Device(torch.device("cpu"), dtype)


def test_a_small_model_on_a_cpu_stays_in_full_precision() -> None:
    assert choose_device("cpu", "auto", SMALL) == Device(torch.device("cpu"), torch.float32)


def test_a_large_model_on_a_cpu_gets_one_of_the_two_precisions() -> None:
    assert choose_device("cpu", "auto", LARGE).dtype in {torch.float32, torch.bfloat16}


def test_auto_is_cuda_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", "fp32", SMALL).torch_device == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", "fp32", SMALL).torch_device == torch.device("cuda")


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_computes_in_bf16_if_it_does_so_itself(
    monkeypatch: pytest.MonkeyPatch, supported: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: supported or including_emulation
    )
    assert choose_device("cuda", "auto", SMALL) == Device(torch.device("cuda"), dtype)


def test_cuda_that_is_not_there_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="use cpu or auto"):
        choose_device("cuda", "auto", SMALL)


@pytest.mark.usefixtures("_threads_as_before")
def test_threads_are_as_many_as_asked_for() -> None:
    assert use_cpu_threads(3) == torch.get_num_threads() == 3


@pytest.mark.usefixtures("_threads_as_before")
def test_without_a_number_every_usable_core_computes() -> None:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert use_cpu_threads(None) == torch.get_num_threads() == usable


@pytest.mark.usefixtures("_threads_as_before")
def test_the_number_counts_too_where_the_usable_cores_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # macOS has none
    assert use_cpu_threads(1) == torch.get_num_threads() == 1
