"""Pictures a second of torch and of openvino-int8, side by side, at each batch size. No service runs.

Each engine is measured in a process of its own, twice, in turns, so that a neighbour who comes and goes slows both; the
best batch size of each is compared. Random weights have true speed and no meaning: how far the engines agree is what
``pictwarden model compare`` tells. ``ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16`` in the environment keeps both from AMX, as
on processors without it. Exit code 1 if openvino-int8 is not as fast as wanted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import bare_pass
from benchmarks.bare_pass import EngineOptions, Rates, best_of, best_of_each
from benchmarks.command import OUT, Out, Run, console
from benchmarks.report import Check, Column, Section, Table, at_least
from serve_app.models.open import OPENVINO_INT8

LEAST_RATIO = 1.7

_MODELS = ["random:ViT-B-32", "random:ViT-L-14"]
_MAX_BATCH_VIEWS = 64
_COLUMNS = (Column("batch"), Column("torch, per s", 1), Column(f"{OPENVINO_INT8}, per s", 1), Column("times", 2))


def bench(
    model: Annotated[list[str], typer.Option(help="As model.source in the configuration; may be repeated.")] = _MODELS,
    threads: Annotated[int | None, typer.Option(min=1, help="Of a pass; by default every core.")] = None,
    duration_s: Annotated[float, typer.Option(min=0.1, help="Seconds for each batch size.")] = 1.0,
    cache_folder: Annotated[Path | None, typer.Option(help="As model.cache_folder in the configuration.")] = None,
    out: Out = OUT,
) -> None:
    """Measure, compare, report."""
    run = Run("engines", 0)
    sections: list[Section] = []
    checks: list[Check] = []
    for source in model:
        with console.status(f"{source} (a model that is not in the cache is converted first, for some minutes)"):
            measured: dict[str, list[Rates]] = {"torch": [], OPENVINO_INT8: []}
            for _ in range(2):
                for engine, rates in measured.items():
                    options = EngineOptions(source, "cpu", "auto", threads, engine, cache_folder)
                    rates.append(bare_pass.measure(options, {}, duration_s, _MAX_BATCH_VIEWS))
        ratio = best_of(measured[OPENVINO_INT8])[1].views_per_s / best_of(measured["torch"])[1].views_per_s
        sections.append(_section(source, *map(best_of_each, measured.values())))
        checks.append(at_least(f"{source}: {OPENVINO_INT8} ÷ torch, best batch of each", ratio, LEAST_RATIO, digits=2))
    run.finish("Engines on the CPU", sections, checks, out)


def _section(source: str, torch: Rates, int8: Rates) -> Section:
    rows = []
    for size in sorted({*torch, *int8}):
        below, above = (rates[size].views_per_s if size in rates else None for rates in (torch, int8))
        rows.append((str(size), below, above, above / below if above and below else None))
    return Section(source, "Pictures a second by batch size, the better of two.", Table(_COLUMNS, tuple(rows)))
