"""Quantised engines: for a comparison, made as asked; for the service, only with a recorded agreement."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from serve_app.domain import ModelError
from serve_app.models.agreement import Agreements, PolicyReference, require_agreement
from serve_app.models.calibration import Calibration
from serve_app.models.device import use_cpu_threads
from serve_app.models.load import LoadedModel, load_model
from serve_app.models.model_cache import ModelCache, Recipe, default_cache_folder
from serve_app.models.openvino_engine import OpenVinoEngine
from serve_app.models.openvino_runtime import Runtime, load_runtime
from serve_app.models.quantise import OnProgress, quantise
from serve_app.models.text import text_features

logger = logging.getLogger(__name__)

_LOGGED_STEP = 0.1


def open_converted(
    source: str,
    labels: Sequence[str],
    calibrate: Callable[[int], Calibration],
    cache_folder: Path | None,
    cpu_threads: int | None,
    on_progress: OnProgress,
) -> tuple[OpenVinoEngine, Recipe]:
    """See :func:`serve_app.models.open.open_quantised`."""
    runtime, model = load_runtime(), load_model(source)
    calibration = calibrate(model.identity.image_size_px)
    recipe = Recipe(model.identity.digest, calibration.name, runtime.openvino_version, runtime.nncf_version)
    return _open(runtime, model, recipe, calibration, labels, cache_folder, cpu_threads, on_progress), recipe


def open_agreed(
    source: str,
    labels: Sequence[str],
    policy: PolicyReference,
    cache_folder: Path | None,
    cpu_threads: int | None,
) -> OpenVinoEngine:
    """The quantised engine whose agreement under ``policy`` was recorded last.

    Raises:
        ModelError: the model or the extra is not there; or there is no record, or it is not enough.
    """
    runtime, model = load_runtime(), load_model(source)
    folder = cache_folder or default_cache_folder()
    versions = runtime.openvino_version, runtime.nncf_version
    command = _command(source, policy, cache_folder)
    record = require_agreement(Agreements(folder).latest(model.identity.digest, policy.digest, *versions), command)
    calibration = Calibration(record.recipe.calibration)
    if not calibration.is_drawn and ModelCache(folder).find(record.recipe) is None:
        raise ModelError(
            f"openvino-int8 does not start: the model that was compared is not in {folder} any more, and its "
            f"calibration ({calibration.name}) cannot be drawn. Compare again: {command} --calibrate PHOTOGRAPHS"
        )
    if record.shortfall:
        logger.warning("openvino-int8 of %s starts with --accept-lower: %s", source, record.shortfall)
    logger.info("openvino-int8 of %s: %.2f %% of %d verdicts agree", source, record.agreement * 100, record.pictures)
    return _open(runtime, model, record.recipe, calibration, labels, cache_folder, cpu_threads, _LogProgress(source))


def _open(
    runtime: Runtime,
    model: LoadedModel,
    recipe: Recipe,
    calibration: Calibration,
    labels: Sequence[str],
    cache_folder: Path | None,
    cpu_threads: int | None,
    on_progress: OnProgress,
) -> OpenVinoEngine:
    cache = ModelCache(cache_folder or default_cache_folder())
    threads = use_cpu_threads(cpu_threads)

    def write(file: Path) -> None:
        quantise(model, calibration.views(model.identity.image_size_px), runtime, file, on_progress)

    return OpenVinoEngine(
        runtime.openvino,
        cache.find(recipe) or cache.make(recipe, write),
        replace(model.identity, digest=recipe.digest, derived_from=model.identity.digest),
        model.logit_scale,
        text_features(model, labels).numpy(),
        threads,
    )


def _command(source: str, policy: PolicyReference, cache_folder: Path | None) -> str:
    words = ["pictwarden", "model", "compare", "FOLDER", "--model", source, "--policy", policy.source]
    return shlex.join(words + (["--cache-folder", str(cache_folder)] if cache_folder else []))


class _LogProgress:
    """A line for each stage and each tenth of it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._last = ("", 0.0)

    def __call__(self, stage: str, share: float) -> None:
        if stage != self._last[0] or share >= self._last[1] + _LOGGED_STEP:
            self._last = (stage, share)
            logger.info("openvino-int8 of %s: %s, %.0f %%", self._source, stage, share * 100)
