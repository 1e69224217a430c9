"""How much a model computes for a view, whatever computes it: the work that its rate is compared with."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.own_process import measured_apart

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class ImageTower:
    """The size of a model's image tower: its weights, and floating-point operations a view.

    A multiplication and an addition are two operations. Matrix products, convolutions and attention count; what is done
    element by element does not, as is usual (Chowdhery et al. 2022, appendix B).
    """

    parameters: int
    flop_per_view: float


def measure(source: str) -> ImageTower:
    """Of the model that ``source`` names (see :mod:`serve_app.models.source`), in a process of its own.

    Raises:
        ModelError: the model cannot be had.
    """
    return measured_apart(_measure, source)


def tower_of(network: torch.nn.Module, size_px: int) -> ImageTower:
    """Of a module that takes float32, ``(views, 3, size_px, size_px)``. It loses its weights."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    parameters = sum(weights.numel() for weights in network.parameters())
    # Operations that do a whole layer at once are not known to the counter: attention is to be counted as its products.
    had_fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            # On the device that computes nothing and only knows shapes.
            network.to("meta")(torch.empty(1, 3, size_px, size_px, device="meta"))
    finally:
        torch.backends.mha.set_fastpath_enabled(had_fast_path)
    return ImageTower(parameters, float(counter.get_total_flops()))


def _measure(source: str) -> ImageTower:
    from serve_app.models.load import load_model

    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns of random weights, which are asked for here
    model = load_model(source)
    return tower_of(model.network.visual, model.identity.image_size_px)
