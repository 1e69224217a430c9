"""The engine that runs open_clip's image tower with torch, on a CPU or a CUDA device."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from serve_app.clip.device import Device
from serve_app.clip.engine import buckets
from serve_app.clip.load import LoadedModel
from serve_app.clip.text import text_features

# A first pass compiles and allocates; the next is the one that requests will see. The least of a few is taken,
# because a neighbour on the machine can only make a pass longer, never shorter.
_WARM_UP_PASSES = 3


class ClipEngine:
    """An open_clip image tower on one device, and the text features of the labels."""

    def __init__(self, model: LoadedModel, labels: Sequence[str], device: Device) -> None:
        """Computes the text features once, then lets the text tower go.

        Args:
            model: as loaded, float32 on the CPU; this object takes it over.
            labels: the policy's prompts; ``encode`` answers in this order.
            device: where the image tower runs, and in which precision.
        """
        self.identity = model.identity
        self.logit_scale = model.logit_scale
        self._device = device
        self._label_features = text_features(model, labels).to(device.torch_device)
        self._tower = model.network.visual.to(device.torch_device, device.dtype)
        # (x / 255 - mean) / std as one multiplication and one addition, on the device.
        mean = torch.tensor(model.mean, device=device.torch_device)
        std = torch.tensor(model.std, device=device.torch_device)
        self._scale = (1 / (255 * std)).to(device.dtype).view(1, 3, 1, 1)
        self._shift = (-mean / std).to(device.dtype).view(1, 3, 1, 1)

    def warm_up(self, max_batch_views: int, max_pass_s: float) -> dict[int, float]:
        """See :class:`~serve_app.clip.engine.Engine`."""
        seconds: dict[int, float] = {}
        for bucket in buckets(max_batch_views):
            pixels = np.zeros((bucket, self.identity.image_size_px, self.identity.image_size_px, 3), np.uint8)
            pass_s = min(self._time_pass(pixels) for _ in range(_WARM_UP_PASSES))
            if pass_s > max_pass_s and seconds:
                break
            seconds[bucket] = pass_s
        return seconds

    def _time_pass(self, pixels: NDArray[np.uint8]) -> float:
        start_s = time.perf_counter()
        self.encode(pixels)
        return time.perf_counter() - start_s

    @torch.inference_mode()
    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`~serve_app.clip.engine.Engine`."""
        uploaded = torch.from_numpy(pixels).to(self._device.torch_device, non_blocking=True)
        planes = uploaded.permute(0, 3, 1, 2).to(self._device.dtype)
        features = self._tower(planes * self._scale + self._shift)
        features = torch.nn.functional.normalize(features.float(), dim=-1)
        cosines: NDArray[np.float32] = (features @ self._label_features.T).cpu().numpy()
        return cosines
