"""The room's one door: a model source and a policy's labels to an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serve_app.domain import ModelError
from serve_app.models.agreement import PolicyReference
from serve_app.models.calibration import Calibration
from serve_app.models.engine import Engine
from serve_app.models.model_cache import Recipe
from serve_app.models.source import FakeModel, parse_source

OPENVINO_INT8 = "openvino-int8"


def open_engine(
    source: str,
    labels: Sequence[str],
    device: str = "auto",
    precision: str = "auto",
    cpu_threads: int | None = None,
    engine: str = "auto",
    policy: PolicyReference | None = None,
    cache_folder: Path | None = None,
) -> Engine:
    """The engine for ``source`` (see :mod:`serve_app.models.source`), loaded and not yet warm.

    Args:
        source: names the model.
        labels: the policy's prompts, in the order in which scores are wanted.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        cpu_threads: threads of a pass on the CPU; None takes every core that this process may use.
        engine: ``torch``, ``openvino-int8``, or ``auto``, which is torch: what scores differently is chosen by people.
        policy: whose agreement ``openvino-int8`` needs.
        cache_folder: where quantised models and records of agreement are; None for the user's own cache.

    Raises:
        ModelError: the model cannot be had, the device is not there, or the quantised engine may not start.
    """
    parsed = parse_source(source)
    if isinstance(parsed, FakeModel):
        from serve_app.models.fake import FakeEngine

        return FakeEngine(labels, parsed.image_size_px, parsed.pass_s)
    if engine == OPENVINO_INT8:
        if policy is None:
            raise ModelError(f"{OPENVINO_INT8} starts for a policy only, with which its agreement was recorded")
        from serve_app.models.quantised import open_agreed

        return open_agreed(source, labels, policy, cache_folder, cpu_threads)
    # In a thread that ends. The threads that help it to load would otherwise stay, and libgomp has all sleep at each
    # barrier once there are more of them than cores: a pass of one view took 41 ms and not 25 (ViT-B-32, two cores).
    with ThreadPoolExecutor(1, thread_name_prefix="opening") as opening:
        return opening.submit(_open_torch, source, labels, device, precision, cpu_threads).result()


def open_quantised(
    source: str,
    labels: Sequence[str],
    calibrate: Callable[[int], Calibration],
    cache_folder: Path | None,
    cpu_threads: int | None,
    on_progress: Callable[[str, float], None],
) -> tuple[Engine, Recipe]:
    """``openvino-int8`` for a comparison, and what it is made of: nothing is asked of its agreement.

    Args:
        source: names the model.
        labels: the policy's prompts.
        calibrate: gives what quantising looks at, for the side of a view in pixels.
        cache_folder: None for the user's own.
        cpu_threads: None takes every core that this process may use.
        on_progress: is told the stage of a conversion and the share of it that is done; not called if the cache has it.

    Raises:
        ModelError: the model or the extra is not there.
    """
    from serve_app.models.quantised import open_converted

    return open_converted(source, labels, calibrate, cache_folder, cpu_threads, on_progress)


def _open_torch(source: str, labels: Sequence[str], device: str, precision: str, cpu_threads: int | None) -> Engine:
    # torch takes seconds and hundreds of megabytes to import, which the fake engine's tests need not pay.
    from serve_app.models.accelerator import CudaAccelerator
    from serve_app.models.cuda_engine import CudaClipEngine
    from serve_app.models.device import choose_device, use_cpu_threads
    from serve_app.models.load import load_model
    from serve_app.models.torch_engine import ClipEngine

    threads = use_cpu_threads(cpu_threads)
    model = load_model(source)
    parameters = sum(weights.numel() for weights in model.network.visual.parameters())
    chosen = choose_device(device, precision, parameters)
    if chosen.torch_device.type == "cpu":
        return ClipEngine(model, labels, chosen.dtype, threads)
    return CudaClipEngine(model, labels, chosen.dtype, CudaAccelerator(chosen.torch_device))
