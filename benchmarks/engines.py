"""What an engine does by itself: pictures a second, and the memory of a process of its own.

A row for each model and engine. Each is measured in a process of its own, twice, alternately, so that a neighbour who
comes and goes slows all; the better of two counts. Random weights have true speed and no meaning: how far engines agree
is what ``pictwarden model compare`` tells. ``ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16`` in the environment keeps all from
AMX, as on processors without it. Exit code 1 if openvino-int8 is not as much faster than torch as wanted.
"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks import bare_pass
from benchmarks.bare_pass import BarePass, Rates, best_of, best_of_each
from benchmarks.command import Out, Run, console
from benchmarks.record import Cell, Check, at_least, table
from serve_app.models.factory import OPENVINO_INT8

LEAST_RATIO = 1.7

_TORCH = "torch"
_MODELS = ["random:ViT-B-32", "random:ViT-L-14"]
_ENGINES = [_TORCH, OPENVINO_INT8]
_SHOWN = (1, 16)
_TIMES = 2
_RATES = {f"per s at batch {size}": 1 for size in _SHOWN} | {"best batch": 0, "per s": 1}
_COLUMNS = {"model": 0, "engine": 0, **_RATES, "core-ms": 1, "memory (PSS), MB": 0}


def bench(
    model: Annotated[list[str], typer.Option(help="As model.source in the configuration; may be repeated.")] = _MODELS,
    engine: Annotated[list[str], typer.Option(help="As model.engine; `auto` for a converted folder.")] = _ENGINES,
    duration_s: Annotated[float, typer.Option(min=0.01, help="Seconds for each batch size.")] = 1.0,
    max_batch_views: Annotated[int, typer.Option(min=1, help="The largest batch.")] = 64,
    out: Out = None,
) -> None:
    """Measure, compare, report."""
    run = Run("engines", 0, out)
    rows: list[tuple[Cell, ...]] = []
    checks: list[Check] = []
    for source in model:
        measured: dict[str, list[tuple[Rates, int]]] = {name: [] for name in engine}
        with console.status(f"{source} (a model that is not in the cache is converted first, for some minutes)"):
            for name in engine * _TIMES:
                wanted = BarePass(source, name, duration_s=duration_s, max_batch_views=max_batch_views)
                measured[name].append(bare_pass.measure(wanted))
        best = {name: best_of([rates for rates, _ in each]) for name, each in measured.items()}
        for name, each in measured.items():
            by_size, (batch, rate) = best_of_each([rates for rates, _ in each]), best[name]
            few = (by_size[size].views_per_s if size in by_size else None for size in _SHOWN)
            memory_mb = int(min(used_bytes for _, used_bytes in each) / 1e6)
            rows.append((source, name, *few, batch, rate.views_per_s, rate.core_ms, memory_mb))
        if {_TORCH, OPENVINO_INT8} <= set(best):
            ratio = best[OPENVINO_INT8][1].views_per_s / best[_TORCH][1].views_per_s
            checks.append(at_least(f"{source}: {OPENVINO_INT8} ÷ torch", ratio, LEAST_RATIO, digits=2))
    run.finish("Engines", [table("Pictures a second", _COLUMNS, rows)], checks)
