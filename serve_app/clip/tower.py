"""What every torch engine computes, as one module that can be run, captured and converted: views to cosines."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from serve_app.clip.load import LoadedModel


class CosineTower(torch.nn.Module):
    """An open_clip image tower between uint8 views and the cosines to a policy's labels.

    The view's normalisation is part of it: a view travels to the device as uint8, a quarter of its size in float32.
    """

    def __init__(self, model: LoadedModel, labels: Sequence[str], device: torch.device, dtype: torch.dtype) -> None:
        """Computes the text features once, then lets the text tower go.

        Args:
            model: as loaded, float32 on the CPU; this object takes it over.
            labels: the policy's prompts; the columns of the cosines are in this order.
            device: where the image tower runs.
            dtype: in which precision; the cosines are always computed in float32.
        """
        super().__init__()
        self._label_features = _text_features(model, labels).T.to(device)
        # Views come as (views, rows, columns, channels), which is channels_last: convolutions take it as it lies.
        self._tower = model.network.visual.to(device, dtype, memory_format=torch.channels_last)
        # (x / 255 - mean) / std as one multiplication and one addition, on the device.
        mean = torch.tensor(model.mean, device=device)
        std = torch.tensor(model.std, device=device)
        self._scale = (1 / (255 * std)).to(dtype).view(1, 3, 1, 1)
        self._shift = (-mean / std).to(dtype).view(1, 3, 1, 1)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Cosine of every view to every label.

        Args:
            views: uint8, ``(views, size_px, size_px, 3)``, RGB, on this module's device.

        Returns:
            float32, ``(views, labels)``, each in -1..1.
        """
        planes = views.permute(0, 3, 1, 2).to(self._scale.dtype)
        features = self._tower(planes * self._scale + self._shift)
        features = torch.nn.functional.normalize(features.float(), dim=-1)
        return features @ self._label_features


@torch.inference_mode()
def _text_features(model: LoadedModel, labels: Sequence[str]) -> torch.Tensor:
    """float32, ``(labels, width)``, each of length one."""
    features: torch.Tensor = model.network.encode_text(model.tokenize(list(labels)))
    return torch.nn.functional.normalize(features.float(), dim=-1)
