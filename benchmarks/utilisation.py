"""What share of the device's matrix rate the engine gets out of it, at each batch size. No service runs.

The *matrix rate* is what large matrix products reach on the same device in the same precision; the *utilisation* is the
model's own operations a second divided by it (model FLOP utilisation, Chowdhery et al. 2022, with a rate that was
measured in the place of a data sheet's). Both are measured twice, in turns, each time in a process of its own. Where
the engine stages batches ahead, as on a GPU, it does here. Exit code 1 if a large model gets less than wanted; a small
one is bound by launches and memory.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks import bare_pass
from benchmarks.bare_pass import EngineOptions, Rate, Rates, best_of_each
from benchmarks.command import OUT, Out, Run, console
from benchmarks.processes import measured_apart
from benchmarks.report import Check, Column, Section, Table, at_least

if TYPE_CHECKING:
    import torch

LEAST_UTILISATION = 0.5

LARGE_FLOP_PER_VIEW = 1e11
"""Of a model whose utilisation is checked: ViT-L-14 has 1.6e11, ViT-B-32 a twentieth of it."""

SIDES = (1024, 2048, 4096, 8192, 16384)
"""Of square matrices. A larger product has less to load for what it computes; beyond some size nothing is gained."""

# The next product has eight times the work: with this, none takes longer than some seconds.
_LONGEST_PRODUCT_S = 0.5

_MODELS = ["random:ViT-B-32", "random:ViT-L-14"]
_TURNS = 2
_COLUMNS = (Column("batch"), Column("pictures/s", 1), Column("TFLOP/s", 2), Column("utilisation", 2))


@dataclass(frozen=True, slots=True)
class ImageTower:
    """The size of a model's image tower: its weights, and floating-point operations a view.

    A multiplication and an addition are two operations. Matrix products, convolutions and attention count; what is done
    element by element does not, as is usual.
    """

    parameters: int
    flop_per_view: float


@dataclass(frozen=True, slots=True, order=True)
class MatrixRate:
    """The best rate of matrix products: floating-point operations a second, at which side, of which elements."""

    flop_per_s: float
    side: int
    dtype: str


def bench(
    model: Annotated[list[str], typer.Option(help="As model.source in the configuration; may be repeated.")] = _MODELS,
    device: Annotated[str, typer.Option(help="As model.device.")] = "auto",
    precision: Annotated[str, typer.Option(help="As model.precision.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Of the CPU; by default every core.")] = None,
    duration_s: Annotated[float, typer.Option(min=0.1, help="Seconds for each batch size.")] = 1.5,
    least: Annotated[float, typer.Option(min=0, max=1, help="Utilisation wanted of large models.")] = LEAST_UTILISATION,
    out: Out = OUT,
) -> None:
    """Measure, divide, report."""
    run = Run("utilisation", 0)
    sections: list[Section] = []
    checks: list[Check] = []
    for source in model:
        with console.status(source):
            tower = measured_apart(measure_tower, source)
            products: list[MatrixRate] = []
            rates: list[Rates] = []
            for _ in range(_TURNS):
                products.append(measured_apart(measure_matrix_rate, device, precision, tower.parameters, threads))
                rates.append(bare_pass.measure(EngineOptions(source, device, precision, threads), {}, duration_s))
        matrix, best = max(products), best_of_each(rates)
        sections.append(_section(source, tower, matrix, best))
        if tower.flop_per_view >= LARGE_FLOP_PER_VIEW:
            claim = f"{source}: utilisation at the best batch"
            checks.append(at_least(claim, utilisation(max(best.values()), tower, matrix), least, digits=2))
    run.finish("Utilisation", sections, checks, out)


def utilisation(rate: Rate, tower: ImageTower, matrix: MatrixRate) -> float:
    """The share of the matrix rate that the views of ``rate`` are."""
    return rate.views_per_s * tower.flop_per_view / matrix.flop_per_s


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


def measure_tower(source: str) -> ImageTower:
    """Of the model that ``source`` names (see :mod:`serve_app.models.source`). Raises ModelError if there is none."""
    from serve_app.models.load import load_model

    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns of random weights, which are asked for here
    model = load_model(source)
    return tower_of(model.network.visual, model.identity.image_size_px)


def measure_matrix_rate(
    device: str,
    precision: str,
    parameters: int,
    threads: int | None,
    duration_s: float = 2.0,
    sides: tuple[int, ...] = SIDES,
) -> MatrixRate:
    """The best of ``sides``, in their order, until a product takes too long.

    Args:
        device: as ``model.device`` in the configuration.
        precision: as ``model.precision``; ``auto`` depends on the model.
        parameters: of the model's image tower.
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
    chosen = choose_device(device, precision, parameters)
    rates: list[MatrixRate] = []
    for side in sides:
        # Random numbers, because a GPU's clock depends on how many bits change. Both as a layer has them: a row of the
        # second one is what a row of the first is multiplied with.
        left, right = (torch.randn(side, side, device=chosen.torch_device).to(chosen.dtype) for _ in range(2))
        names = {"mm": torch.mm, "left": left, "right": right.T, "product": torch.empty_like(left)}
        timer = Timer("mm(left, right, out=product)", globals=names, num_threads=torch.get_num_threads())
        with torch.inference_mode():
            product_s = timer.blocked_autorange(min_run_time=duration_s).mean
        # A square product multiplies and adds for each of its elements `side` times.
        rates.append(MatrixRate(2.0 * side**3 / product_s, side, str(chosen.dtype).removeprefix("torch.")))
        if product_s > _LONGEST_PRODUCT_S:
            break
    return max(rates)


def _section(source: str, tower: ImageTower, matrix: MatrixRate, rates: Mapping[int, Rate]) -> Section:
    note = (
        f"{tower.flop_per_view / 1e9:.1f} GFLOP a view ({tower.parameters / 1e6:.0f} million weights). Matrix rate of "
        f"this device: {matrix.flop_per_s / 1e12:.2f} TFLOP/s in {matrix.dtype}, at {matrix.side} x {matrix.side}. "
        f"The better of {_TURNS} measurements of each."
    )
    rows = tuple(
        (str(size), rate.views_per_s, rate.views_per_s * tower.flop_per_view / 1e12, utilisation(rate, tower, matrix))
        for size, rate in rates.items()
    )
    return Section(source, note, Table(_COLUMNS, rows))
