"""The room's one door: a model source and a policy's labels to an engine."""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.clip.engine import Engine
from serve_app.clip.source import FakeModel, parse_source


def open_engine(
    source: str, labels: Sequence[str], device: str = "auto", precision: str = "auto", cpu_threads: int | None = None
) -> Engine:
    """The engine for ``source`` (see :mod:`serve_app.clip.source`), loaded and not yet warm.

    Args:
        source: names the model.
        labels: the policy's prompts, in the order in which scores are wanted.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        cpu_threads: threads of a pass on the CPU; None takes every core that this process may use.

    Raises:
        ModelError: the model cannot be had, or the device is not there.
    """
    parsed = parse_source(source)
    if isinstance(parsed, FakeModel):
        from serve_app.clip.fake import FakeEngine

        return FakeEngine(labels, parsed.image_size_px, parsed.pass_s)
    # torch takes seconds and hundreds of megabytes to import, which the fake engine's tests need not pay.
    from serve_app.clip.accelerator import CudaAccelerator
    from serve_app.clip.cuda_engine import CudaClipEngine
    from serve_app.clip.device import choose_device, use_cpu_threads
    from serve_app.clip.load import load_model
    from serve_app.clip.torch_engine import ClipEngine

    use_cpu_threads(cpu_threads)
    model = load_model(source)
    parameters = sum(weights.numel() for weights in model.network.visual.parameters())
    chosen = choose_device(device, precision, parameters)
    if chosen.torch_device.type == "cpu":
        return ClipEngine(model, labels, chosen.dtype)
    return CudaClipEngine(model, labels, chosen.dtype, CudaAccelerator(chosen.torch_device))
