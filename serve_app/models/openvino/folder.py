"""Converted models opened, without torch. In int8, and in the place of torch, only with a recorded agreement."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import ModelError
from serve_app.logs import EventLogger
from serve_app.models.agreement import TOP_LABEL, Agreement, Agreements, require_agreement
from serve_app.models.cache_folder import default_cache_folder
from serve_app.models.cpu_threads import count_cpu_threads
from serve_app.models.heads import Directions, no_directions
from serve_app.models.openvino.cache import ModelCache
from serve_app.models.openvino.conversion import TEXT_TOWER, ConvertedModel, read_converted
from serve_app.models.openvino.engine import OpenVinoEngine
from serve_app.models.openvino.runtime import compile_model, load_library
from serve_app.models.openvino.tokenizer import PromptTokenizer
from serve_app.models.registry import EngineSpec
from serve_app.models.source import ConvertedFolder, parse_source

logger = EventLogger(__name__)


def open_folder(spec: EngineSpec) -> OpenVinoEngine:
    """The engine for a folder that ``pictwarden model convert`` made.

    Raises:
        ModelError: it is none, or damaged; it is in int8, and its agreement is not recorded or not enough; or the extra
            is not installed.
    """
    parsed = parse_source(spec.source)
    if not isinstance(parsed, ConvertedFolder):
        words = ["pictwarden", "model", "convert", spec.source, "--to", "openvino", "--output", "FOLDER"]
        raise ModelError(
            f"the engine openvino runs converted models, and {spec.source!r} is none: "
            f"run `{shlex.join(words)}` where torch is installed, then set model.source to that folder"
        )
    converted = read_converted(parsed.folder)
    installed = load_library("openvino").version
    if installed != converted.conversion.openvino:
        before = converted.conversion.openvino
        logger.warning(
            "openvino_differs",
            f"{parsed.folder} was converted with OpenVINO {before}, and {installed} is installed: convert again to be "
            "sure of its scores",
            folder=parsed.folder,
            converted_with=before,
            installed=installed,
        )
    if converted.conversion.precision == "int8":
        spec.refuse_heads()
        log_agreement(spec.source, _require_agreed(parsed.folder, converted, spec))
    return open_converted(parsed.folder, converted, spec.labels, spec.cpu_threads, spec.directions)


def find_agreed(model_digest: str, spec: EngineSpec) -> OpenVinoEngine | None:
    """A model in the cache, made of these weights, not quantised, and recorded to agree in what it computes in here."""
    cache_folder = spec.cache_folder or default_cache_folder()
    agreements = Agreements(cache_folder)
    for folder, converted in ModelCache(cache_folder).made_of(model_digest):
        # A comparison under this policy says more than one of labels, for the better and for the worse.
        record = agreements.find(converted.conversion, spec.policy.digest) if spec.policy else None
        record = record or agreements.find(converted.conversion, TOP_LABEL)
        if converted.conversion.precision != "bf16" or record is None or not record.is_enough:
            continue
        engine = open_converted(folder, converted, spec.labels, spec.cpu_threads, spec.directions)
        if record.computed_in == engine.computed_in:
            return engine
        logger.info(
            "precision_differs",
            f"engine auto: {folder} computes in {engine.computed_in} here, and was compared in {record.computed_in}",
            folder=folder,
            computes_in=engine.computed_in,
            compared_in=record.computed_in,
        )
    return None


def open_converted(
    folder: Path,
    converted: ConvertedModel,
    labels: Sequence[str],
    cpu_threads: int | None,
    directions: Directions = no_directions,
) -> OpenVinoEngine:
    """The engine for a converted model, whatever is recorded of it; ``directions`` have the columns behind the labels.

    Raises:
        ModelError: the extra is not installed.
    """
    core = load_library("openvino").module.Core()
    of_labels = _label_features(core, folder, converted, labels)
    column_features = np.concatenate([of_labels, directions(of_labels.shape[1])])
    return OpenVinoEngine(core, folder, converted, column_features, count_cpu_threads(cpu_threads))


def log_agreement(source: str, record: Agreement) -> None:
    """What a start in int8 tells of its record."""
    if record.shortfall:
        text = f"openvino-int8 of {source} starts with --accept-lower: {record.shortfall}"
        logger.warning("agreement_lower", text, source=source, why=record.shortfall)
    logger.info(
        "agreement",
        f"openvino-int8 of {source}: {record.agreement * 100:.2f} % of {record.pictures} verdicts agree",
        source=source,
        agreement=record.agreement,
        pictures=record.pictures,
    )


def _label_features(core: Any, folder: Path, converted: ConvertedModel, labels: Sequence[str]) -> NDArray[np.float32]:
    """float32, ``(labels, width)``. The text tower is let go again, and computes in float32, as torch's does."""
    tokenize = PromptTokenizer(folder, converted.text_cleaning)
    tower = compile_model(core, str(folder / TEXT_TOWER), {"INFERENCE_PRECISION_HINT": "f32"})
    # No label is no batch for the tower, and the width of a feature is known by computing one.
    features: NDArray[np.float32] = tower([tokenize(labels or [""])])[0][: len(labels)].copy()
    return features


def _require_agreed(folder: Path, converted: ConvertedModel, spec: EngineSpec) -> Agreement:
    if spec.policy is None:
        raise ModelError("a model in int8 starts for a policy only, with which its agreement was recorded")
    options = ["--to", "openvino", "--precision", "int8", "--policy", spec.policy.source, "--output", str(folder)]
    command = shlex.join(["pictwarden", "model", "convert", converted.name, *options])
    return require_agreement(Agreements(folder).find(converted.conversion, spec.policy.digest), command)
