"""The engines, by name. What an engine is built on is imported when that engine is opened, and not before.

So no process imports torch for the fake engine or for a converted model, nor OpenVINO for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from serve_app.domain import ModelError
from serve_app.models.agreement import PolicyReference
from serve_app.models.engine import Engine
from serve_app.models.heads import Directions, no_directions
from serve_app.settings import EngineName


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is opened for; see :func:`serve_app.models.factory.open_engine`.

    Its columns are cosines to ``labels``, then to ``directions`` in the model's embedding.
    """

    source: str
    labels: tuple[str, ...]
    device: str
    precision: str
    cpu_threads: int | None
    policy: PolicyReference | None
    cache_folder: Path | None
    directions: Directions = no_directions

    def refuse_heads(self) -> None:
        """Refuse a quantised engine, whose agreement is recorded for prompts alone, with other directions than these.

        Raises:
            ModelError: there are directions.
        """
        if self.directions is not no_directions:
            raise ModelError(
                f"heads are not scored by a model in int8 ({self.source!r}), since its agreement is recorded for "
                f"prompts alone: take torch, or a model that was converted to bf16"
            )


Opener = Callable[[EngineSpec], Engine]


def _open_fake(spec: EngineSpec) -> Engine:
    from serve_app.models.fake import open_fake

    return open_fake(spec.source, spec.labels, spec.directions)


def _open_torch(spec: EngineSpec) -> Engine:
    from serve_app.models.torch_factory import open_torch

    return open_torch(spec)


def _open_converted(spec: EngineSpec) -> Engine:
    from serve_app.models.openvino.folder import open_folder

    return open_folder(spec)


def _open_quantised(spec: EngineSpec) -> Engine:
    from serve_app.models.openvino.making import open_agreed

    return open_agreed(spec)


def _open_fastest(spec: EngineSpec) -> Engine:
    from serve_app.models.fastest import open_fastest

    return open_fastest(spec)


OPENERS: Mapping[EngineName, Opener] = {
    "auto": _open_fastest,
    "torch": _open_torch,
    "openvino": _open_converted,
    "openvino-int8": _open_quantised,
}
"""The engines that the configuration can name. ``torch`` is the CPU or CUDA, as ``model.device`` says."""

open_fake: Opener = _open_fake
"""The engine that its model source names, whatever the configuration says."""
