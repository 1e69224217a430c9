"""``nsfwjs`` and ``nsfwjs-inception``: both models of the npm package nsfwjs (MIT), which know drawings too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import CLASSIFIERS
from serve_app.models.nsfwjs.variants import VARIANTS, Variant, require_fetched
from serve_app.models.onnx.classifier import Classifier


def _prepare(views: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As the package does: 0..1 and nothing else."""
    return views.astype(np.float32) / np.float32(255)


def _classifier(variant: Variant) -> Classifier:
    def find(cache_folder: Path | None) -> Path:
        return require_fetched(variant, cache_folder).model

    return Classifier(
        name=variant.classifier,
        outputs=CLASSIFIERS[variant.classifier],
        view_size_px=variant.view_side_px,
        sha256=variant.sha256,
        find=find,
        prepare=_prepare,
    )


NSFWJS = tuple(map(_classifier, VARIANTS))
