"""What a worker calls its device."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.models.device_name import device_name


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="no /proc/cpuinfo here")
def test_a_processor_has_the_name_that_linux_lists() -> None:
    listed = Path("/proc/cpuinfo").read_text("ascii", errors="ignore")
    name = device_name(is_cpu=True)
    assert name
    assert "model name" not in listed or name in listed


def test_a_processor_without_a_name_is_still_called_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "processor : 0\nBogoMIPS : 50.00\n")
    assert device_name(is_cpu=True)


def test_a_graphics_card_has_the_name_that_torch_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA GeForce RTX 3060")
    assert device_name(is_cpu=False) == "NVIDIA GeForce RTX 3060"
