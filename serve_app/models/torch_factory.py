"""torch's engines: on the CPU or on CUDA, as the configuration and the machine have it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from serve_app.models.accelerator import CudaAccelerator
from serve_app.models.cuda_engine import CudaClipEngine
from serve_app.models.device import Device, choose_device, use_cpu_threads
from serve_app.models.engine import Engine
from serve_app.models.load import LoadedModel, load_model
from serve_app.models.registry import EngineSpec
from serve_app.models.torch_engine import ClipEngine


def open_torch(spec: EngineSpec) -> Engine:
    """The engine for a model that open_clip loads.

    Raises:
        ModelError: the model cannot be had, or the device is not there.
    """
    return opened_apart(_open, spec)


def opened_apart(open_engine: Callable[[EngineSpec], Engine], spec: EngineSpec) -> Engine:
    """What ``open_engine`` makes of ``spec``, in a thread that ends.

    The threads that help it to load would otherwise stay, and libgomp has all sleep at each barrier once there are more
    of them than cores: a pass of one view took 41 ms and not 25 (ViT-B-32, two cores).
    """
    with ThreadPoolExecutor(1, thread_name_prefix="opening") as opening:
        return opening.submit(open_engine, spec).result()


def device_for(model: LoadedModel, spec: EngineSpec) -> Device:
    """Where this model would run, and in which precision.

    Raises:
        ModelError: the device is not there.
    """
    parameters = sum(weights.numel() for weights in model.network.visual.parameters())
    return choose_device(spec.device, spec.precision, parameters)


def engine_of(model: LoadedModel, spec: EngineSpec, device: Device) -> Engine:
    """The engine for a loaded model, which it takes over."""
    threads = use_cpu_threads(spec.cpu_threads)
    if device.torch_device.type == "cpu":
        return ClipEngine(model, spec.labels, device.dtype, threads, spec.directions)
    return CudaClipEngine(model, spec.labels, device.dtype, CudaAccelerator(device.torch_device), spec.directions)


def _open(spec: EngineSpec) -> Engine:
    use_cpu_threads(spec.cpu_threads)
    model = load_model(spec.source)
    return engine_of(model, spec, device_for(model, spec))
