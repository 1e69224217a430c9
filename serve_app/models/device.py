"""Which device computes, and in which precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from serve_app.domain import ModelError
from serve_app.models.cpu_threads import count_cpu_threads

# Below this many parameters a CPU pass is bound by the cost of calling kernels, which bf16 does not lower: the demo
# model (0.4 M) is no faster in bf16 alone in a pass, ViT-B-32 (88 M) is twice as fast (AVX-512 with bf16).
_CPU_BF16_MIN_PARAMETERS = 20_000_000


@dataclass(frozen=True, slots=True)
class Device:
    """A torch device and the element type that the image tower runs in."""

    torch_device: torch.device
    dtype: torch.dtype


def choose_device(device: str, precision: str, parameters: int) -> Device:
    """The device and precision for an image tower of ``parameters`` weights.

    Args:
        device: ``auto`` (CUDA if there is one), ``cpu`` or ``cuda``.
        precision: ``auto`` (bf16 where the device is good at it), ``fp32`` or ``bf16``.
        parameters: number of weights of the image tower.

    Raises:
        ModelError: CUDA is asked for and not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("model.device is cuda, and torch sees no CUDA device; use cpu or auto")
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if precision == "auto":
        precision = "bf16" if _is_good_at_bf16(kind, parameters) else "fp32"
    return Device(torch.device(kind), {"fp32": torch.float32, "bf16": torch.bfloat16}[precision])


def use_cpu_threads(threads: int | None) -> int:
    """Let torch compute with ``threads`` CPU threads (all that this process may use, if None); returns how many.

    Ray sets OMP_NUM_THREADS to the replica's ``num_cpus``, and so to 1 for a fraction of a core.
    """
    count = count_cpu_threads(threads)
    torch.set_num_threads(count)
    return count


def _is_good_at_bf16(kind: str, parameters: int) -> bool:
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return parameters >= _CPU_BF16_MIN_PARAMETERS and _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 itself (AVX512_BF16 or AMX), as Linux lists its features."""
    try:
        features = Path("/proc/cpuinfo").read_text("ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in features or "amx_bf16" in features
