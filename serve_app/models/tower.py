"""An image tower between uint8 views and what is asked of it, as modules that can be run, captured and converted.

The view's normalisation is part of them: a view travels to the device as uint8, a quarter of its size in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx.experimental.optimization import fuse

from serve_app.models.heads import Directions, no_directions
from serve_app.models.load import LoadedModel
from serve_app.models.patches import with_patch_projection
from serve_app.models.text import text_features

_CPU = torch.device("cpu")


class ImageFeatures(torch.nn.Module):
    """Views to features of length one."""

    def __init__(self, model: LoadedModel, device: torch.device = _CPU, dtype: torch.dtype = torch.float32) -> None:
        """Takes over the image tower of a model.

        Args:
            model: as loaded, float32 on the CPU.
            device: where the image tower runs.
            dtype: in which precision.
        """
        super().__init__()
        tower = _without_batch_norms(model.network.visual)
        patched = with_patch_projection(tower, model.mean, model.std, model.identity.image_size_px)
        self._normalises = patched is None
        # Views come as (views, rows, columns, channels), which is channels_last: convolutions take it as it lies.
        self._tower = (patched or tower).to(device, dtype).to(memory_format=torch.channels_last)
        # (x / 255 - mean) / std as one multiplication and one addition, on the device.
        mean = torch.tensor(model.mean, device=device)
        std = torch.tensor(model.std, device=device)
        self._scale = (1 / (255 * std)).to(dtype).view(1, 3, 1, 1)
        self._shift = (-mean / std).to(dtype).view(1, 3, 1, 1)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """uint8, ``(views, size_px, size_px, 3)``, RGB, on this module's device, to float32, ``(views, width)``."""
        planes = views.permute(0, 3, 1, 2)
        if self._normalises:
            planes = planes.to(self._scale.dtype) * self._scale + self._shift
        features = self._tower(planes)
        return torch.nn.functional.normalize(features.float(), dim=-1)


class CosineTower(torch.nn.Module):
    """Views to cosines to a policy's labels, and to directions in the embedding."""

    def __init__(
        self,
        model: LoadedModel,
        labels: Sequence[str],
        device: torch.device,
        dtype: torch.dtype,
        directions: Directions = no_directions,
    ) -> None:
        """Computes the text features once, then lets the text tower go.

        Args:
            model: as loaded, float32 on the CPU; this object takes it over.
            labels: the policy's prompts; the columns of the cosines are in this order.
            device: where the image tower runs.
            dtype: in which precision; the cosines are always computed in float32.
            directions: in the embedding; their columns stand behind those of the labels.
        """
        super().__init__()
        of_labels = text_features(model, labels)
        of_directions = torch.from_numpy(directions(of_labels.shape[1]))
        self._column_features = torch.cat([of_labels, of_directions]).T.to(device)
        self._image_features = ImageFeatures(model, device, dtype)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Cosine of every view to every label and every direction.

        Args:
            views: uint8, ``(views, size_px, size_px, 3)``, RGB, on this module's device.

        Returns:
            float32, ``(views, labels and directions)``, each in -1..1.
        """
        cosines: torch.Tensor = self._image_features(views) @ self._column_features
        return cosines


def _without_batch_norms(tower: torch.nn.Module) -> torch.nn.Module:
    """The same function with each batch norm behind a convolution made part of its weights: one operation less each.

    A tower without batch norms (every ViT) is returned as it is, and so is one that torch.fx cannot follow.
    """
    if not any(isinstance(module, torch.nn.BatchNorm2d) for module in tower.modules()):
        return tower
    try:
        return fuse(tower)
    except (torch.fx.proxy.TraceError, TypeError, NotImplementedError):
        return tower
