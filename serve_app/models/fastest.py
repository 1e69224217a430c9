"""``engine: auto``: torch, unless a converted model is there that agrees as well with float32 and is faster here.

"As well" is recorded by ``pictwarden model convert``; "faster" is measured at each start, on the machine that starts.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from serve_app.logs import EventLogger
from serve_app.models.engine import Engine
from serve_app.models.load import load_model
from serve_app.models.openvino.engine import OpenVinoEngine
from serve_app.models.openvino.folder import find_agreed
from serve_app.models.registry import EngineSpec
from serve_app.models.torch_factory import device_for, engine_of, opened_apart

logger = EventLogger(__name__)

_MAX_BATCH_VIEWS = 16

# A batch size whose pass takes longer than this is not compared.
_MAX_PASS_S = 2.0


def open_fastest(spec: EngineSpec) -> Engine:
    """The engine to take, loaded and not yet warm.

    Raises:
        ModelError: the model cannot be had, or the device is not there.
    """
    return opened_apart(_open, spec)


def _open(spec: EngineSpec) -> Engine:
    model = load_model(spec.source)
    device = device_for(model, spec)
    may_be_converted = device.torch_device.type == "cpu" and spec.precision != "fp32"
    candidate = _candidate(model.identity.digest, spec) if may_be_converted else None
    reference = engine_of(model, spec, device)
    name = "torch-bf16" if device.dtype is torch.bfloat16 else "torch-fp32"
    if candidate is None:
        where = "" if may_be_converted else f" on {device.torch_device.type}"
        why = ": the cache has no converted model that may be taken" if may_be_converted else ""
        logger.info("engine_chosen", f"engine auto: {name}{where}, with nothing to compare{why}", engine=name)
        return reference
    if is_faster(candidate, f"openvino-{candidate.computed_in}", reference, name):
        return candidate
    # Made again: the threads of the one that was measured have the priority of this thread, and not of the device's.
    return engine_of(model, spec, device)


def _candidate(model_digest: str, spec: EngineSpec) -> OpenVinoEngine | None:
    try:
        return find_agreed(model_digest, spec)
    except Exception as error:  # of OpenVINO's and the system's kinds too: torch can do without it
        text = f"engine auto: torch, since the converted model in the cache cannot be opened: {error}"
        logger.warning("converted_model_unusable", text, why=str(error))
        return None


def is_faster(candidate: Engine, candidate_name: str, reference: Engine, reference_name: str) -> bool:
    """Whether ``candidate`` is as fast with one view and with many as ``reference``; says so in the log."""
    of_candidate, of_reference = _views_per_s(candidate), _views_per_s(reference)
    many = max(of_candidate.keys() & of_reference.keys())
    takes_candidate = all(of_candidate[size] >= of_reference[size] for size in (1, many))
    taken = candidate_name if takes_candidate else reference_name
    logger.info(
        "engine_chosen",
        f"engine auto: {candidate_name} {of_candidate[1]:.1f} views/s at batch 1 and {of_candidate[many]:.1f} at "
        f"{many}, {reference_name} {of_reference[1]:.1f} and {of_reference[many]:.1f}: took {taken}",
        engine=taken,
        views_per_s={candidate_name: of_candidate, reference_name: of_reference},
    )
    return takes_candidate


def _views_per_s(engine: Engine) -> Mapping[int, float]:
    return {size: size / pass_s for size, pass_s in engine.warm_up(_MAX_BATCH_VIEWS, _MAX_PASS_S).items()}
