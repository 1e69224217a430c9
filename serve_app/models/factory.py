"""The room's one door: a policy's labels to an engine, and a model source to a converted model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from serve_app.domain import ModelError, is_head, is_prompt, needs_faces, output_label, output_of
from serve_app.host.extras import how_to_install
from serve_app.models.agreement import PolicyReference
from serve_app.models.engine import Engine
from serve_app.models.ensemble import Ensemble, Part
from serve_app.models.heads import Head, directions_of, every_direction, read_head
from serve_app.models.registry import OPENERS, EngineSpec, open_fake
from serve_app.models.source import ConvertedFolder, FakeModel, parse_source
from serve_app.models.with_faces import WithFaces
from serve_app.models.with_heads import WithHeads

if TYPE_CHECKING:
    from serve_app.models.openvino.conversion import Conversion, Precision
    from serve_app.models.openvino.engine import OpenVinoEngine
    from serve_app.models.openvino.quantisation_views import QuantisationViews
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
    """The engine for the labels of a policy, loaded and not yet warm: for its prompts, heads and classifiers.

    ``labels`` are the policy's, in the order in which scores are; all else is as for :func:`open_engines`.

    Raises:
        ModelError: as :func:`open_engines`.
    """
    (opened,) = open_engines(source, [labels], device, precision, cpu_threads, engine, policy, cache_folder)
    return opened


def open_engines(  # noqa: PLR0913, PLR0917 - as for open_engine, and heads that are read already
    source: str | None,
    label_sets: Sequence[Sequence[str]],
    device: str = "auto",
    precision: str = "auto",
    cpu_threads: int | None = None,
    engine: str = "auto",
    policy: PolicyReference | None = None,
    cache_folder: Path | None = None,
    heads: Mapping[str, Head] | None = None,
) -> list[Engine]:
    """An engine for each set of labels, not yet warm: each runs the models of its own labels, loaded once for all.

    Args:
        source: names the model of the prompts and heads (see :mod:`serve_app.models.source`); None without these.
        label_sets: each in the order in which its engine's scores are.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: of the model of the prompts: ``auto``, ``fp32`` or ``bf16``.
        cpu_threads: threads of a pass on the CPU; None takes every core that this process may use.
        engine: for the model of the prompts, a name of the registry (:mod:`serve_app.models.registry`). ``auto`` is
            OpenVINO for a converted folder, else torch, or what agrees as well and is faster here
            (:mod:`serve_app.models.fastest`).
        policy: under which an agreement is recorded, and which has the files of the heads among the labels.
        cache_folder: where converted models and records of agreement are; None for the user's own cache.
        heads: by label, those that are read already, instead of the files of ``policy``.

    Raises:
        ModelError: a model or a head cannot be had, a head is for another model, the device is not there, the engine
            cannot run the model, or the quantised engine may not start; or there are no labels.
    """
    labels = tuple(dict.fromkeys(itertools.chain.from_iterable(label_sets)))
    prompts = tuple(filter(is_prompt, labels))
    files = policy.heads if policy is not None else {}
    given = heads or {}
    heads = {label: given.get(label) or read_head(files[label]) for label in filter(is_head, labels)}
    parts = []
    if prompts or heads:
        if source is None:
            raise ModelError("the policy has prompts or heads, and no model for them is named: set model.source")
        spec = EngineSpec(source, prompts, device, precision, cpu_threads, policy, cache_folder)
        if heads:
            spec = replace(spec, directions=directions_of(heads))
        of_model = _open_clip(spec, engine)
        for label, head in heads.items():
            head.require_model(label if label in given else str(files[label].file), of_model.identity)
        opened = WithHeads(of_model, tuple(heads.values())) if heads else of_model
        parts.append(Part(opened, (*prompts, *heads)))
    parts += _open_classifiers(labels, device, cpu_threads, cache_folder)
    return [_joined(parts, each) for each in label_sets]


def open_embedding(source: str, cache_folder: Path | None) -> Engine:
    """An engine whose scores are the model's embedding: float32, ``(views, width)``, each row of length one.

    Args:
        source: names the model (see :mod:`serve_app.models.source`).
        cache_folder: see :func:`open_engine`.

    Raises:
        ModelError: as :func:`open_engine`.
    """
    return _open_clip(EngineSpec(source, (), "auto", "auto", None, None, cache_folder, every_direction), "auto")


def beside_classifiers(
    of_model: Part | None,
    labels: Sequence[str],
    device: str = "auto",
    cpu_threads: int | None = None,
    cache_folder: Path | None = None,
) -> Engine:
    """One engine for all of a policy's labels, of the one for its prompts and heads and of its classifiers.

    Args:
        of_model: the engine for the prompts and the heads among ``labels``; None where there are none.
        labels: the policy's, in the order in which scores are.
        device: see :func:`open_engines`; of the classifiers.
        cpu_threads: see :func:`open_engines`; of the classifiers.
        cache_folder: see :func:`open_engines`.

    Raises:
        ModelError: a classifier cannot be had, or the device is not there; or there are no labels.
    """
    classifiers = _open_classifiers(labels, device, cpu_threads, cache_folder)
    return _joined(classifiers if of_model is None else [of_model, *classifiers], labels)


def _open_classifiers(
    labels: Sequence[str], device: str, cpu_threads: int | None, cache_folder: Path | None
) -> list[Part]:
    """The classifiers whose outputs are among ``labels``."""
    from serve_app.models.onnx.opening import open_classifier

    wanted: dict[str, list[str]] = {}
    for name, output in filter(None, map(output_of, labels)):
        wanted.setdefault(name, []).append(output)
    return [
        Part(
            open_classifier(name, outputs, device, cpu_threads, cache_folder),
            tuple(output_label(name, each) for each in outputs),
        )
        for name, outputs in sorted(wanted.items())  # in one order, since the digest of the whole follows it
    ]


def _joined(parts: Sequence[Part], labels: Sequence[str]) -> Engine:
    """One engine over those of ``parts`` that have some of ``labels``."""
    wanted = [part for part in parts if not set(labels).isdisjoint(part.labels)]
    of_faces = [part for part in wanted if any(map(needs_faces, part.labels))]
    if not of_faces:
        return _together(wanted, labels)
    of_views = [part for part in wanted if not any(map(needs_faces, part.labels))]
    face_labels = tuple(filter(needs_faces, labels))
    view_labels = tuple(label for label in labels if not needs_faces(label))
    return WithFaces(
        Part(_together(of_views, view_labels), view_labels) if of_views else None,
        Part(_together(of_faces, face_labels), face_labels),
        labels,
    )


def _together(parts: Sequence[Part], labels: Sequence[str]) -> Engine:
    if not parts:
        raise ModelError("a policy without labels needs no model, and none is opened")
    if len(parts) == 1 and parts[0].labels == tuple(labels):
        return parts[0].engine
    return Ensemble(parts, labels)


def _open_clip(spec: EngineSpec, engine: str) -> Engine:
    try:
        return _opened(spec, engine)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _OF_EXTRA_CLIP:
            raise
        raise ModelError(
            f"model {spec.source!r} needs {library}, which is not installed: {how_to_install('clip')}, or choose a "
            "model that `pictwarden model convert` made, with the extra openvino"
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
    give_views: Callable[[int], QuantisationViews],
    cache_folder: Path | None,
    cpu_threads: int | None,
    on_progress: Callable[[str, float], None],
) -> tuple[OpenVinoEngine, Conversion]:
    """``openvino-int8`` for a comparison, and what it is made of: nothing is asked of its agreement.

    Args:
        source: names the model.
        labels: the policy's prompts.
        give_views: gives what quantising looks at, for the side of a view in pixels.
        cache_folder: None for the user's own.
        cpu_threads: None takes every core that this process may use.
        on_progress: called with the step of a conversion and the share of it that is done, unless the cache has it.

    Raises:
        ModelError: the model or the extra is not there.
    """
    from serve_app.models.openvino.making import open_quantised

    return open_quantised(source, labels, give_views, cache_folder, cpu_threads, on_progress)


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
    give_views: Callable[[int], QuantisationViews],
    cache_folder: Path | None,
    output: Path | None,
    on_progress: Callable[[str, float], None],
) -> Path:
    """A folder with ``source``, converted for OpenVINO; what is there already is not converted again.

    Args:
        source: names a model that open_clip loads.
        precision: of the image tower.
        give_views: gives what quantising looks at, for the side of a view in pixels.
        cache_folder: None for the user's own.
        output: the folder to make; None for one in the cache.
        on_progress: called with the step and the share of it that is done.

    Raises:
        ModelError: the model or the extra is not there; the model cannot be converted; or ``output`` holds something
            else.
    """
    from serve_app.models.openvino.making import convert

    return convert(source, precision, give_views, cache_folder, output, on_progress)
