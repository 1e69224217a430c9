"""What a classifier is: where its file is, what it is shown, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import MODEL_NOTICES


@dataclass(frozen=True, slots=True)
class Classifier:
    """A network in ONNX with one input, views, and one output, a probability for each of ``outputs``.

    ``find`` gives its file, from the folder of the model cache (None for the user's own), and raises ModelError with
    the way to have it. ``sha256`` (hex) is that of the file, since thresholds belong to weights and not to a name.
    ``prepare`` makes the network's input, float32, of views, uint8, ``(views, view_size_px, view_size_px, 3)``, RGB.
    ``conclude`` makes the probabilities of the outputs, ``(views, outputs)``, of what the network says.
    """

    name: str
    outputs: tuple[str, ...]
    view_size_px: int
    sha256: str
    find: Callable[[Path | None], Path]
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    conclude: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda said: said

    @property
    def notice(self) -> str | None:
        """See :class:`~serve_app.domain.ModelIdentity`."""
        return MODEL_NOTICES.get(self.name)
