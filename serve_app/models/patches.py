"""The first layer of a vision transformer as what it is: one matrix product over patches, normalisation included.

A convolution whose windows lie side by side multiplies each patch, once, by the same matrix. As a convolution it is
slow, because libraries bring three channels into the form that theirs want: for 16 views on one core it takes 18 ms in
bf16 with AMX and 58 ms without, the matrix product 4 and 32 ms (ViT-B-32).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from serve_app.models.clip_library import open_clip

# Taken off each value of a view, which bf16 and int8 then hold exactly. What is multiplied is as small as after the
# usual normalisation, so that rounding the weights costs no more.
_CENTRE = 128


class PatchProjection(torch.nn.Module):
    """Views as they are, to one vector a patch: ``convolution((view / 255 - mean) / std)``."""

    def __init__(self, convolution: torch.nn.Conv2d, mean: Sequence[float], std: Sequence[float]) -> None:
        """Takes weights from a convolution that fits (see :func:`with_patch_projection`).

        Args:
            convolution: over three planes.
            mean: of each channel, 0..1.
            std: of each channel.
        """
        super().__init__()
        self._patch_px = int(convolution.kernel_size[0])
        weights = convolution.weight.detach().float()
        scale = 1 / (255 * torch.tensor(std))
        shift = (_CENTRE / 255 - torch.tensor(mean)) / torch.tensor(std)
        bias = (weights.sum((2, 3)) * shift).sum(1)
        if convolution.bias is not None:
            bias = bias + convolution.bias.detach().float()
        # A patch has its values in the order of a view: rows, columns, channels.
        matrix = (weights * scale.view(1, 3, 1, 1)).permute(0, 2, 3, 1).flatten(1)
        self._project = torch.nn.Linear(matrix.shape[1], matrix.shape[0])
        self._project.weight = torch.nn.Parameter(matrix.contiguous(), requires_grad=False)
        self._project.bias = torch.nn.Parameter(bias, requires_grad=False)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """uint8, ``(views, 3, size_px, size_px)``, to ``(views, width, rows, columns)`` of patches."""
        views, patch_px = planes.permute(0, 2, 3, 1), self._patch_px
        count, rows, columns = views.shape[0], views.shape[1] // patch_px, views.shape[2] // patch_px
        patches = views.reshape(count, rows, patch_px, columns, patch_px * 3).transpose(2, 3)
        patches = patches.reshape(count, rows * columns, patch_px * patch_px * 3)
        projected: torch.Tensor = self._project(patches.to(self._project.bias.dtype) - _CENTRE)
        return projected.transpose(1, 2).reshape(count, -1, rows, columns)


def with_patch_projection(
    tower: torch.nn.Module, mean: Sequence[float], std: Sequence[float], size_px: int
) -> torch.nn.Module | None:
    """The tower for views as they are, in uint8; None if it does not begin with patches side by side.

    The tower that is given stays as it is; the new one shares all other layers with it.
    """
    if not isinstance(tower, open_clip.transformer.VisionTransformer) or not isinstance(tower.conv1, torch.nn.Conv2d):
        return None
    first = tower.conv1
    sides = {first.kernel_size, first.stride, (first.kernel_size[0],) * 2}
    if len(sides) > 1 or first.in_channels != 3 or first.groups != 1 or first.padding not in (0, (0, 0)):
        return None
    if size_px % first.kernel_size[0]:
        return None
    patched: torch.nn.Module = copy.copy(tower)
    # A copy of a module has the dictionary of the original, in which the new layer would replace the old one for both.
    patched._modules = dict(tower._modules)  # noqa: SLF001 - torch has no public way
    patched.conv1 = PatchProjection(first, mean, std)
    return patched
