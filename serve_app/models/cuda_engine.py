"""The engine for a device with memory of its own: views are uploaded beside the running pass, and passes are captured.

A pass is one launch of a graph that was captured for its bucket, over memory that stays where it is. Two batches have
room on the device: one that is computed, and the next one, which travels meanwhile.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from serve_app.models.accelerator import Accelerator, out_of_memory_is_ours
from serve_app.models.engine import buckets, measure_buckets
from serve_app.models.heads import Directions, no_directions
from serve_app.models.load import LoadedModel
from serve_app.models.tower import CosineTower

_SLOTS = 2


@dataclass(frozen=True, slots=True)
class _Slot:
    """Room for the views of one batch, uint8: pinned on the host, and on the device."""

    on_host: torch.Tensor
    on_device: torch.Tensor


@dataclass(frozen=True, slots=True)
class _UploadedBatch:
    """Views on their way to the device."""

    slot: _Slot
    views: int
    upload: Any


@dataclass(frozen=True, slots=True)
class _Pass:
    """What computes a bucket: from ``views`` (uint8, on the device) by one launch."""

    views: torch.Tensor
    launch: Callable[[], torch.Tensor]


class CudaClipEngine:
    """An open_clip image tower on an accelerator. To be warmed up before it uploads or encodes."""

    uploads_ahead = True
    shares_cores = False

    def __init__(
        self,
        model: LoadedModel,
        labels: Sequence[str],
        dtype: torch.dtype,
        accelerator: Accelerator,
        directions: Directions = no_directions,
    ) -> None:
        """See :class:`~serve_app.models.tower.CosineTower`."""
        self.identity = model.identity
        self.logit_scale = model.logit_scale
        self._accelerator = accelerator
        self._tower = CosineTower(model, labels, accelerator.device, dtype, directions)
        self._free: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        self._passes: dict[int, _Pass] = {}

    def warm_up(self, max_batch_views: int, max_pass_s: float) -> dict[int, float]:
        """See :class:`~serve_app.models.engine.Engine`; captures each bucket, lets go of those that are left out."""
        self._passes.clear()
        self._make_slots(buckets(max_batch_views)[-1])
        blank = np.zeros(self._shape(buckets(max_batch_views)[-1]), np.uint8)
        seconds = measure_buckets(lambda bucket: self._warm_pass(blank[:bucket]), max_batch_views, max_pass_s)
        self._passes = {bucket: self._passes[bucket] for bucket in seconds}
        return seconds

    def upload(self, views: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> _UploadedBatch:
        """See :class:`~serve_app.models.engine.Engine`.

        Raises:
            RuntimeError: one batch is being computed and another one is uploaded already.
        """
        try:
            slot = self._free.get_nowait()
        except queue.Empty:
            raise RuntimeError("one batch is computed and one is uploaded: there is no room for a third") from None
        count = len(views)
        try:
            np.stack(list(views), out=slot.on_host[:count].numpy())
            upload = self._accelerator.upload(slot.on_host[:count], slot.on_device[:count])
        except BaseException:
            self._free.put(slot)
            raise
        return _UploadedBatch(slot, count, upload)

    @torch.inference_mode()
    def encode(self, uploaded: _UploadedBatch | NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`~serve_app.models.engine.Engine`. The views that fill a bucket up are of earlier batches."""
        batch = self.upload(uploaded) if isinstance(uploaded, np.ndarray) else uploaded
        try:
            bucket = next(size for size in self._passes if size >= batch.views)
            run = self._passes[bucket]
            with out_of_memory_is_ours(), self._accelerator.computing():
                self._accelerator.wait_for(batch.upload)
                run.views.copy_(batch.slot.on_device[:bucket])
                cosines: NDArray[np.float32] = run.launch()[: batch.views].cpu().numpy()
            return cosines
        finally:
            self._free.put(batch.slot)

    def _warm_pass(self, blank: NDArray[np.uint8]) -> None:
        if len(blank) not in self._passes:
            self._passes[len(blank)] = self._capture(len(blank))
        self.encode(blank)

    @torch.inference_mode()
    def _capture(self, bucket: int) -> _Pass:
        with out_of_memory_is_ours():
            views = torch.zeros(self._shape(bucket), dtype=torch.uint8, device=self._accelerator.device)
            return _Pass(views, self._accelerator.capture(lambda: self._tower(views)))

    def _make_slots(self, largest: int) -> None:
        self._free = queue.SimpleQueue()
        for _ in range(_SLOTS):
            on_device = torch.zeros(self._shape(largest), dtype=torch.uint8, device=self._accelerator.device)
            self._free.put(_Slot(self._accelerator.pinned(*self._shape(largest)), on_device))

    def _shape(self, views: int) -> tuple[int, int, int, int]:
        return views, self.identity.image_size_px, self.identity.image_size_px, 3
