"""The engine that runs a converted image tower with OpenVINO, on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_app.models.in_place import InPlaceEngine
from serve_app.models.openvino.conversion import IMAGE_TOWER, ConvertedModel
from serve_app.models.openvino.mapped_weights import release
from serve_app.models.openvino.runtime import compile_model
from serve_app.models.shares import shares


class OpenVinoEngine(InPlaceEngine):
    """A converted image tower, and the features of its columns: of labels' texts, and directions of heads."""

    shares_cores = True

    def __init__(
        self, core: Any, folder: Path, converted: ConvertedModel, column_features: NDArray[np.float32], threads: int
    ) -> None:
        """Compile for this CPU.

        Args:
            core: an ``openvino.Core``.
            folder: of the converted model.
            converted: what that folder says of itself.
            column_features: float32, ``(columns, width)``, each of length one.
            threads: CPU threads of a pass.
        """
        self.conversion = converted.conversion
        self.identity = converted.identity
        self.logit_scale = converted.logit_scale
        self._column_features = column_features.T
        self._threads = threads
        self._weights = (folder / IMAGE_TOWER).with_suffix(".bin").resolve()
        model = core.read_model(str(folder / IMAGE_TOWER))
        together = _compile(core, model, threads, streams=1)
        self.computed_in = str(together.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        self._together = together.create_infer_request()
        # One stream for each thread is up to a tenth faster for large batches in int8, and costs the weights once more.
        is_int8 = converted.conversion.precision == "int8"
        alone = _compile(core, model, threads, streams=threads) if threads > 1 and is_int8 else None
        self._alone = [alone.create_infer_request() for _ in range(threads)] if alone else []

    def warm_up(self, max_batch_views: int, max_pass_s: float) -> dict[int, float]:
        """See :class:`~serve_app.models.engine.Engine`."""
        seconds = super().warm_up(max_batch_views, max_pass_s)
        release(self._weights)
        return seconds

    def encode(self, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`~serve_app.models.engine.Engine`."""
        parts = shares(uploaded, self._threads) if self._alone else [uploaded]
        requests = self._alone if len(parts) > 1 else [self._together]
        for request, part in zip(requests, parts, strict=True):
            request.start_async([np.ascontiguousarray(part)], share_inputs=True)
        for request in requests:
            request.wait()
        features = np.concatenate([request.get_output_tensor(0).data for request in requests])
        cosines: NDArray[np.float32] = features @ self._column_features
        return cosines


def _compile(core: Any, model: Any, threads: int, streams: int) -> Any:
    # Not pinned to cores: other replicas compute on the same machine, and two that are pinned to the same cores get
    # half of them each while others idle. The precision is the processor's choice: bf16 where it multiplies that.
    properties = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams, "ENABLE_CPU_PINNING": False}
    return compile_model(core, model, properties)
