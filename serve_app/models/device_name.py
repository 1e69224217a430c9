"""The name of what computes, for people."""

from __future__ import annotations

import platform
from pathlib import Path

_MODEL_KEY = "model name"


def device_name(*, is_cpu: bool) -> str:
    """That of the graphics card, or of the processor, as its maker calls it."""
    return _processor() if is_cpu else _graphics_card()


def _graphics_card() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "an accelerator"


def _processor() -> str:
    """As Linux lists it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", errors="ignore").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(_MODEL_KEY))
    return next(filter(None, named), platform.processor() or platform.machine() or "a CPU")
