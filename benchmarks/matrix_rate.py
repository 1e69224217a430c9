"""What a device computes at most: the rate of large matrix products, with the library and the precision of the engine.

A data sheet's rate holds for a clock that no device keeps, and nobody prints one for two cores of a shared machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.own_process import measured_apart

SIDES = (1024, 2048, 4096, 8192, 16384)
"""Of square matrices. A larger product has less to load for what it computes; beyond some size nothing is gained."""

# The next product has eight times the work: with this, none takes longer than some seconds.
_LONGEST_PRODUCT_S = 0.5

_LEAST_PRODUCTS = 3


@dataclass(frozen=True, slots=True)
class MatrixRate:
    """The best rate of matrix products: floating-point operations a second, at which side, of which elements."""

    flop_per_s: float
    side: int
    dtype: str


def measure(
    device: str,
    precision: str,
    parameters: int,
    threads: int | None = None,
    duration_s: float = 2.0,
    sides: Sequence[int] = SIDES,
) -> MatrixRate:
    """The best of squares, in a process of its own.

    Args:
        device: as ``model.device`` in the configuration.
        precision: as ``model.precision``; ``auto`` depends on the model.
        parameters: of the model's image tower.
        threads: of the CPU; every core by default.
        duration_s: see :func:`best_rate`.
        sides: see :func:`best_rate`.

    Raises:
        ModelError: the device is not there.
    """
    return measured_apart(_measure, device, precision, parameters, threads, duration_s, sides)


def best_rate(
    dtype: str,
    product_of: Callable[[int], Callable[[], None]],
    duration_s: float,
    sides: Sequence[int],
    clock: Callable[[], float] = time.perf_counter,
) -> MatrixRate:
    """The highest rate of ``sides``, in their order, until a product takes too long.

    Args:
        dtype: of the elements; a word for the result.
        product_of: makes, for a side, what computes one product and returns when it is done.
        duration_s: seconds for each side, behind a product that does not count, or three products.
        sides: of the squares.
        clock: seconds.
    """
    rates: list[MatrixRate] = []
    for side in sides:
        product = product_of(side)
        product()
        products, started_s = 0, clock()
        while (elapsed_s := clock() - started_s) < duration_s or products < _LEAST_PRODUCTS:
            product()
            products += 1
        # A square product multiplies and adds for each of its elements `side` times.
        rates.append(MatrixRate(2.0 * side**3 * products / elapsed_s, side, dtype))
        if elapsed_s / products > _LONGEST_PRODUCT_S:
            break
    return max(rates, key=lambda rate: rate.flop_per_s)


def _measure(
    device: str, precision: str, parameters: int, threads: int | None, duration_s: float, sides: Sequence[int]
) -> MatrixRate:
    import torch

    from serve_app.models.device import choose_device, use_cpu_threads

    use_cpu_threads(threads)
    chosen = choose_device(device, precision, parameters)

    def product_of(side: int) -> Callable[[], None]:
        # Random numbers, because a GPU's clock depends on how many bits change. Both as a layer has them: a row of the
        # second one is what a row of the first is multiplied with.
        left, right = (torch.randn(side, side, device=chosen.torch_device).to(chosen.dtype) for _ in range(2))
        product = torch.empty_like(left)

        def compute() -> None:
            torch.mm(left, right.T, out=product)
            if chosen.torch_device.type == "cuda":
                torch.cuda.synchronize(chosen.torch_device)

        return compute

    with torch.inference_mode():
        return best_rate(str(chosen.dtype).removeprefix("torch."), product_of, duration_s, sides)
