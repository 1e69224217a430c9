"""The engine that runs open_clip's image tower with torch, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from serve_app.models.accelerator import out_of_memory_is_ours
from serve_app.models.heads import Directions, no_directions
from serve_app.models.in_place import InPlaceEngine
from serve_app.models.load import LoadedModel
from serve_app.models.packed_weights import pack_weights
from serve_app.models.shares import shares
from serve_app.models.tower import CosineTower


class ClipEngine(InPlaceEngine):
    """An open_clip image tower on the CPU. A pass computes the views that it is given, and no padding."""

    shares_cores = True

    def __init__(
        self,
        model: LoadedModel,
        labels: Sequence[str],
        dtype: torch.dtype,
        threads: int,
        directions: Directions = no_directions,
    ) -> None:
        """See :class:`~serve_app.models.tower.CosineTower`; ``threads`` are the CPU threads of a pass."""
        self.identity = model.identity
        self.logit_scale = model.logit_scale
        self._tower = CosineTower(model, labels, torch.device("cpu"), dtype, directions)
        pack_weights(self._tower)
        self._threads = threads
        # Its threads start at the first pass that has shares, from the thread that asked for it, and with its priority.
        self._alone = ThreadPoolExecutor(threads, thread_name_prefix="share")

    def encode(self, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`~serve_app.models.engine.Engine`."""
        match shares(uploaded, self._threads):
            case [views]:
                return self._compute(views, self._threads)
            case several:
                return np.concatenate(list(self._alone.map(self._compute, several, [1] * len(several))))

    @torch.inference_mode()
    def _compute(self, views: NDArray[np.uint8], threads: int) -> NDArray[np.float32]:
        # torch counts threads for each thread that asks: this is about the calling one, and nobody else's passes.
        torch.set_num_threads(threads)
        with out_of_memory_is_ours():
            cosines: NDArray[np.float32] = self._tower(torch.from_numpy(views)).numpy()
        return cosines
