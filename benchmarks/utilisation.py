"""``make bench-utilisation``: what share of the device's matrix rate the engine gets out of it, at each batch size.

No service runs. The *matrix rate* is what large matrix products reach on the same device in the same precision; the
*utilisation* is the model's own operations a second divided by it (model FLOP utilisation, Chowdhery et al. 2022,
with a rate that was measured in the place of a data sheet's). Both are measured twice, in turns, each time in a
process of its own. Where the engine stages batches ahead, as on a GPU, it does here. Exit code 1 if a large model gets
less than wanted; a small one is bound by launches and memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import bare_pass, hardware, matrix_rate, model_flop
from benchmarks.bare_pass import EngineOptions, best_of_each
from benchmarks.matrix_rate import MatrixRate
from benchmarks.model_flop import ImageTower
from benchmarks.output import FOLDER, finish
from benchmarks.report import Check, Column, Report, Section, Table, at_least
from benchmarks.target import command_line

LEAST_UTILISATION = 0.5

LARGE_FLOP_PER_VIEW = 1e11
"""Of a model whose utilisation is checked: ViT-L-14 has 1.6e11, ViT-B-32 a twentieth of it."""

_MODELS = ["random:ViT-B-32", "random:ViT-L-14"]
_TURNS = 2

console = Console(highlight=False)


def bench(
    model: Annotated[list[str], typer.Option(help="As model.source in the configuration; may be repeated.")] = _MODELS,
    device: Annotated[str, typer.Option(help="As model.device.")] = "auto",
    precision: Annotated[str, typer.Option(help="As model.precision.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Of the CPU; by default every core.")] = None,
    duration_s: Annotated[float, typer.Option(min=0.1, help="Seconds for each batch size.")] = 1.5,
    least: Annotated[float, typer.Option(min=0, max=1, help="Utilisation wanted of large models.")] = LEAST_UTILISATION,
    out: Annotated[Path, typer.Option(help="Folder of the reports.")] = FOLDER,
) -> None:
    """Measure, divide, report."""
    started_at = datetime.now(UTC)
    machine = hardware.facts()
    console.print(hardware.describe())
    sections: list[Section] = []
    checks: list[Check] = []
    for source in model:
        with console.status(source):
            tower = model_flop.measure(source)
            products: list[MatrixRate] = []
            rates: list[Mapping[int, float]] = []
            options = EngineOptions(source, device, precision, threads)
            for _ in range(_TURNS):
                products.append(matrix_rate.measure(device, precision, tower.parameters, threads))
                rates.append(bare_pass.measure(options, {}, duration_s))
        matrix = max(products, key=lambda each: each.flop_per_s)
        views_per_s = best_of_each(*rates)
        sections.append(_section(source, tower, matrix, views_per_s))
        if tower.flop_per_view >= LARGE_FLOP_PER_VIEW:
            best = utilisation(max(views_per_s.values()), tower, matrix)
            checks.append(at_least(f"{source}: utilisation at the best batch", best, least, "", 2))
    report = Report("Utilisation", command_line("utilisation"), machine, 0, started_at, sections, checks)
    raise typer.Exit(finish(report, "utilisation", out, console))


def utilisation(views_per_s: float, tower: ImageTower, matrix: MatrixRate) -> float:
    """The share of the matrix rate that so many views a second are."""
    return views_per_s * tower.flop_per_view / matrix.flop_per_s


def _section(source: str, tower: ImageTower, matrix: MatrixRate, views_per_s: Mapping[int, float]) -> Section:
    note = (
        f"{tower.flop_per_view / 1e9:.1f} GFLOP a view ({tower.parameters / 1e6:.0f} million weights). Matrix rate of "
        f"this device: {matrix.flop_per_s / 1e12:.2f} TFLOP/s in {matrix.dtype}, at {matrix.side} x {matrix.side}. "
        f"The better of {_TURNS} measurements of each."
    )
    columns = (Column("batch"), Column("pictures/s", 1), Column("TFLOP/s", 2), Column("utilisation", 2))
    rows = tuple(
        (str(size), rate, rate * tower.flop_per_view / 1e12, utilisation(rate, tower, matrix))
        for size, rate in views_per_s.items()
    )
    return Section(source, note, Table(columns, rows))


if __name__ == "__main__":
    # Under its own name, so that the processes can import what they are sent.
    from benchmarks import utilisation as command

    typer.run(command.bench)
