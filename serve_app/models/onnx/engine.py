"""The engine that runs a classifier with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import DeviceMemoryError, ModelIdentity
from serve_app.models.in_place import InPlaceEngine
from serve_app.models.onnx.classifier import Classifier
from serve_app.models.onnx.runtime import Runtime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxEngine(InPlaceEngine):
    """A classifier, and those of its outputs that are wanted."""

    logit_scale = 1.0
    """It has no prompts, and so no temperature."""

    def __init__(self, classifier: Classifier, file: Path, outputs: Sequence[str], runtime: Runtime) -> None:
        """Loaded at its first pass.

        Args:
            classifier: what the file holds.
            file: the model.
            outputs: those that are wanted, in the order of the columns.
            runtime: where it computes.
        """
        self.identity = ModelIdentity(classifier.name, classifier.sha256, classifier.view_size_px, classifier.notice)
        self._classifier = classifier
        self._file = file
        self._columns = [classifier.outputs.index(each) for each in outputs]
        self._runtime = runtime

    @property
    def shares_cores(self) -> bool:
        """See :class:`~serve_app.models.engine.Engine`."""
        return not self._runtime.is_cuda

    def encode(self, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`~serve_app.models.engine.Engine`; a probability in the place of a cosine."""
        session = self._session
        prepared = np.ascontiguousarray(self._classifier.prepare(uploaded), np.float32)
        try:
            (said,) = session.run(None, {session.get_inputs()[0].name: prepared})
        except Exception as error:
            # The runtime has one kind of error for all that fails in a pass.
            if "alloc" in str(error).lower():
                raise DeviceMemoryError("the memory for a pass of ONNX Runtime is full") from error
            raise
        wanted: NDArray[np.float32] = self._classifier.conclude(np.asarray(said, np.float32))[:, self._columns]
        return wanted

    @cached_property
    def _session(self) -> InferenceSession:
        # Made by the thread that computes: the session's own threads inherit its priority (docs/adr/0008).
        return self._runtime.open(self._file)
