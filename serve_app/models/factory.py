"""The room's one door: a model source and a policy's labels to an engine, and a model source to a converted model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from serve_app.domain import ModelError
from serve_app.models.agreement import PolicyReference
from serve_app.models.engine import Engine
from serve_app.models.registry import OPENERS, EngineSpec, open_fake
from serve_app.models.source import ConvertedFolder, FakeModel, parse_source

if TYPE_CHECKING:
    from serve_app.models.openvino.calibration import Calibration
    from serve_app.models.openvino.conversion import Conversion, Precision
    from serve_app.models.openvino.engine import OpenVinoEngine
    from serve_app.settings import EngineName

OPENVINO_INT8 = "openvino-int8"

_OF_EXTRA_CLIP = ("open_clip", "safetensors", "torch", "torchvision")


def open_engine(
    source: str | None,
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
        source: names the model; None names none, and is refused.
        labels: the policy's prompts, in the order in which scores are spec.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        cpu_threads: threads of a pass on the CPU; None takes every core that this process may use.
        engine: a name of the registry (:mod:`serve_app.models.registry`). ``auto`` is OpenVINO for a converted folder,
            else torch, or what agrees as well and is faster here (:mod:`serve_app.models.fastest`).
        policy: under which an agreement is recorded.
        cache_folder: where converted models and records of agreement are; None for the user's own cache.

    Raises:
        ModelError: the model cannot be had, the device is not there, the engine cannot run the model, or the quantised
            engine may not start.
    """
    if source is None:
        raise ModelError("no model is set: set model.source, or a policy that names its model")
    spec = EngineSpec(source, tuple(labels), device, precision, cpu_threads, policy, cache_folder)
    try:
        return _opened(spec, engine)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _OF_EXTRA_CLIP:
            raise
        raise ModelError(
            f"model {source!r} needs {library}, which is not installed: install the extra pictwarden[clip], or choose "
            "a model that `pictwarden model convert` made, with the extra pictwarden[openvino]"
        ) from error


def _opened(spec: EngineSpec, engine: str) -> Engine:
    match parse_source(spec.source):
        case FakeModel():
            return open_fake(spec)
        case ConvertedFolder(folder) if engine == "torch" or spec.device == "cuda":
            raise ModelError(f"{folder} is converted for OpenVINO on a CPU: set model.engine and model.device to auto")
        case ConvertedFolder(folder) if spec.precision != "auto":
            raise ModelError(f"{folder} computes in the precision of its conversion: set model.precision to auto")
        case ConvertedFolder(folder):
            opened = cast("OpenVinoEngine", OPENERS["openvino"](spec))
            if engine == OPENVINO_INT8 and opened.conversion.precision != "int8":
                raise ModelError(f"{folder} was not converted to int8: set model.engine to auto, or convert it again")
            return opened
    return OPENERS[cast("EngineName", engine)](spec)


def open_quantised(
    source: str,
    labels: Sequence[str],
    calibrate: Callable[[int], Calibration],
    cache_folder: Path | None,
    cpu_threads: int | None,
    on_progress: Callable[[str, float], None],
) -> tuple[OpenVinoEngine, Conversion]:
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
    from serve_app.models.openvino.making import open_quantised

    return open_quantised(source, labels, calibrate, cache_folder, cpu_threads, on_progress)


def open_unrecorded(folder: Path, labels: Sequence[str], cpu_threads: int | None) -> OpenVinoEngine:
    """The engine for a converted folder, for a comparison: nothing is asked of its agreement.

    Raises:
        ModelError: it is no converted model, or damaged; or the extra is not there.
    """
    from serve_app.models.openvino.conversion import read_converted
    from serve_app.models.openvino.folder import open_converted

    return open_converted(folder, read_converted(folder), labels, cpu_threads)


def convert_model(
    source: str,
    precision: Precision,
    calibrate: Callable[[int], Calibration],
    cache_folder: Path | None,
    output: Path | None,
    on_progress: Callable[[str, float], None],
) -> Path:
    """A folder with ``source``, converted for OpenVINO; what is there already is not converted again.

    Args:
        source: names a model that open_clip loads.
        precision: of the image tower.
        calibrate: gives what quantising looks at, for the side of a view in pixels.
        cache_folder: None for the user's own.
        output: the folder to make; None for one in the cache.
        on_progress: is told the stage and the share of it that is done.

    Raises:
        ModelError: the model or the extra is not there; the model cannot be converted; or ``output`` holds something
            else.
    """
    from serve_app.models.openvino.making import convert

    return convert(source, precision, calibrate, cache_folder, output, on_progress)
