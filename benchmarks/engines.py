"""What an engine does by itself: pictures a second, its share of the device, and the memory of a process of its own.

A row for each model and engine. Each is measured in a process of its own, twice, in turns, so that a neighbour who
comes and goes slows all; the better of two counts. Random weights have true speed and no meaning: how far engines agree
is what ``pictwarden model compare`` tells. ``ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16`` in the environment keeps all from
AMX, as on processors without it. Exit code 1 if openvino-int8 is not as much faster than torch as wanted, or torch gets
less out of the device than wanted with a large model (:mod:`benchmarks.matrix_rate`); a small one is bound by launches
and memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import bare_pass, matrix_rate
from benchmarks.bare_pass import EngineOptions, Rates, best_of, best_of_each
from benchmarks.command import Out, Run, console
from benchmarks.processes import measured_apart, pss_bytes
from benchmarks.record import Check, Column, Table, at_least
from serve_app.models.factory import OPENVINO_INT8

LEAST_RATIO = 1.7
LEAST_UTILISATION = 0.5

LARGE_FLOP_PER_VIEW = 1e11
"""Of a model whose utilisation is checked: ViT-L-14 has 1.6e11, ViT-B-32 a twentieth of it."""

_TORCH = "torch"
_MODELS = ["random:ViT-B-32", "random:ViT-L-14"]
_ENGINES = [_TORCH, OPENVINO_INT8]
_SHOWN = (1, 16)
_TURNS = 2
_COLUMNS = (
    Column("model"),
    Column("engine"),
    *(Column(f"per s at batch {size}", 1) for size in _SHOWN),
    Column("best batch"),
    Column("per s", 1),
    Column("core-ms", 1),
    Column("utilisation", 2),
    Column("memory (PSS), MB"),
)

Measured = tuple[Rates, int]
"""Rates, and the bytes of the process afterwards."""


def bench(
    model: Annotated[list[str], typer.Option(help="As model.source in the configuration; may be repeated.")] = _MODELS,
    engine: Annotated[list[str], typer.Option(help="As model.engine; `auto` for a converted folder.")] = _ENGINES,
    device: Annotated[str, typer.Option(help="As model.device.")] = "auto",
    precision: Annotated[str, typer.Option(help="As model.precision.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Of a pass; by default every core.")] = None,
    duration_s: Annotated[float, typer.Option(min=0.01, help="Seconds for each batch size.")] = 1.0,
    max_batch_views: Annotated[int, typer.Option(min=1, help="The largest batch.")] = 64,
    cache_folder: Annotated[Path | None, typer.Option(help="As model.cache_folder in the configuration.")] = None,
    out: Out = None,
) -> None:
    """Measure, compare, report."""
    run = Run("engines", 0, out)

    def multiply() -> float:
        return measured_apart(matrix_rate.flop_per_s, device, precision, threads)

    with console.status("large matrix products"):
        products_before = multiply()
    found: dict[str, tuple[float | None, dict[str, list[Measured]]]] = {}
    for source in model:
        with console.status(f"{source} (a model that is not in the cache is converted first, for some minutes)"):
            flop = measured_apart(matrix_rate.flop_per_view, source) if _TORCH in engine else None
            options = [EngineOptions(source, device, precision, threads, name, cache_folder) for name in engine]
            found[source] = flop, _measure_in_turns(options, duration_s, max_batch_views)
    with console.status("large matrix products"):
        products_per_s = max(products_before, multiply())  # a neighbour may have slowed one of them
    rows = []
    checks: list[Check] = []
    for source, (flop, by_engine) in found.items():
        best = {name: best_of([rates for rates, _ in each]) for name, each in by_engine.items()}
        for name, each in by_engine.items():
            by_size, (batch, rate) = best_of_each([rates for rates, _ in each]), best[name]
            few = (by_size[size].views_per_s if size in by_size else None for size in _SHOWN)
            share = rate.views_per_s * flop / products_per_s if flop and name == _TORCH else None
            memory_mb = int(min(used for _, used in each) / 1e6)
            rows.append((source, name, *few, batch, rate.views_per_s, rate.core_ms, share, memory_mb))
            if share is not None and flop and flop >= LARGE_FLOP_PER_VIEW:
                checks.append(at_least(f"{source}: utilisation", share, LEAST_UTILISATION, digits=2))
        if {_TORCH, OPENVINO_INT8} <= set(best):
            ratio = best[OPENVINO_INT8][1].views_per_s / best[_TORCH][1].views_per_s
            checks.append(at_least(f"{source}: {OPENVINO_INT8} ÷ torch", ratio, LEAST_RATIO, digits=2))
    note = f"Large matrix products, of which utilisation is the share: {products_per_s / 1e12:.2f} TFLOP/s."
    run.finish("Engines", [Table("Pictures a second", _COLUMNS, tuple(rows), note)], checks)


def _measure_in_turns(
    engines: Sequence[EngineOptions], duration_s: float, max_batch_views: int
) -> dict[str, list[Measured]]:
    measured: dict[str, list[Measured]] = {options.engine: [] for options in engines}
    for options in [*engines] * _TURNS:
        measured[options.engine].append(measured_apart(measure, options, duration_s, max_batch_views))
    return measured


def measure(options: EngineOptions, duration_s: float, max_batch_views: int) -> Measured:
    """In this process: the rates, and its memory with its share of what it has in common with others."""
    engine = bare_pass.opened(options)
    return bare_pass.sustained_rates(engine, duration_s, max_batch_views), pss_bytes()
