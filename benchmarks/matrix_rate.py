"""What a device can multiply, and what a model's image tower wants multiplied: both sides of an engine's utilisation.

*Utilisation* is the model's own operations a second divided by those of large matrix products on the same device in
the same precision (model FLOP utilisation, Chowdhery et al. 2022, with a measured rate in the place of a data sheet's).
A multiplication and an addition are two operations.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SIDES = (1024, 2048, 4096, 8192, 16384)
"""Of square matrices. A larger product has less to load for what it computes; beyond some size nothing is gained."""

# The next product has eight times the work: with this, none takes longer than some seconds.
_LONGEST_PRODUCT_S = 0.5

# The precision of a model depends on its size where it is ``auto``; small ones are bound by launches, not by products.
_LARGE_PARAMETERS = 100_000_000


def flop_per_view(source: str) -> float:
    """Operations of the image tower of the model that ``source`` names. Raises ModelError if there is none."""
    from serve_app.models.load import load_model

    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns of random weights, which are asked for here
    model = load_model(source)
    return flop_of(model.network.visual, model.identity.image_size_px)


def flop_of(network: torch.nn.Module, size_px: int) -> float:
    """Of a module that takes float32, ``(1, 3, size_px, size_px)``, and loses its weights.

    Matrix products, convolutions and attention count; what is done element by element does not, as is usual.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # Operations that do a whole layer at once are not known to the counter: attention is to be counted as its products.
    had_fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            # On the device that computes nothing and only knows shapes.
            network.to("meta")(torch.empty(1, 3, size_px, size_px, device="meta"))
    finally:
        torch.backends.mha.set_fastpath_enabled(had_fast_path)
    return float(counter.get_total_flops())


def flop_per_s(
    device: str, precision: str, threads: int | None, duration_s: float = 2.0, sides: tuple[int, ...] = SIDES
) -> float:
    """Of matrix products, the best of ``sides``, in their order, until a product takes too long.

    Args:
        device: as ``model.device`` in the configuration.
        precision: as ``model.precision``; ``auto`` is what a large model gets.
        threads: of the CPU; every core by default.
        duration_s: seconds for each side, at least.
        sides: of the squares.

    Raises:
        ModelError: the device is not there.
    """
    import torch
    from torch.utils.benchmark import Timer

    from serve_app.models.device import choose_device, use_cpu_threads

    use_cpu_threads(threads)
    chosen = choose_device(device, precision, _LARGE_PARAMETERS)
    best = 0.0
    for side in sides:
        # Random numbers, because a GPU's clock depends on how many bits change. Both as a layer has them: a row of the
        # second one is what a row of the first is multiplied with.
        left, right = (torch.randn(side, side, device=chosen.torch_device).to(chosen.dtype) for _ in range(2))
        names = {"mm": torch.mm, "left": left, "right": right.T, "product": torch.empty_like(left)}
        timer = Timer("mm(left, right, out=product)", globals=names, num_threads=torch.get_num_threads())
        with torch.inference_mode():
            product_s = timer.blocked_autorange(min_run_time=duration_s).mean
        # A square product multiplies and adds for each of its elements `side` times.
        best = max(best, 2.0 * side**3 / product_s)
        if product_s > _LONGEST_PRODUCT_S:
            break
    return best
