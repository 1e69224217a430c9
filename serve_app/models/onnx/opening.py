"""The classifiers, by the names of :data:`serve_app.domain.CLASSIFIERS`, and how one becomes an engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from serve_app.domain import ModelError
from serve_app.models.onnx.age import AGE
from serve_app.models.onnx.classifier import Classifier
from serve_app.models.onnx.engine import OnnxEngine
from serve_app.models.onnx.nsfwjs import NSFWJS
from serve_app.models.onnx.open_nsfw import OPEN_NSFW
from serve_app.models.onnx.runtime import Runtime

KNOWN: Mapping[str, Classifier] = {each.name: each for each in (OPEN_NSFW, *NSFWJS, AGE)}


def open_classifier(
    name: str, outputs: Sequence[str], device: str, cpu_threads: int | None, cache_folder: Path | None
) -> OnnxEngine:
    """The engine for a classifier, not yet warm.

    Args:
        name: of the classifier.
        outputs: those that are wanted, in the order in which scores are.
        device: ``auto``, ``cpu`` or ``cuda``.
        cpu_threads: threads of a pass on the CPU; None takes every core that this process may use.
        cache_folder: where fetched models are; None for the user's own cache.

    Raises:
        ModelError: the extra, the file or the device is not there, or the file is another one.
    """
    classifier = KNOWN[name]
    runtime = Runtime.for_device(name, device, cpu_threads)
    file = classifier.find(cache_folder)
    _require_digest(classifier, file)
    return OnnxEngine(classifier, file, outputs, runtime.tried(name, file, device))


def _require_digest(classifier: Classifier, file: Path) -> None:
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"the classifier {classifier.name} cannot be read: {error}") from error
    if digest != classifier.sha256:
        raise ModelError(
            f"{file} is not the {classifier.name} that thresholds are written for: its sha256 is {digest}, and "
            f"{classifier.sha256} is wanted. Install it again, in the version that the extra names"
        )
