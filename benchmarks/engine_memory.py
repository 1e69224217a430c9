"""What an engine costs by itself: views a second at batch 1 and 16, and the memory of a process that holds only it.

``python -m benchmarks engine_memory SOURCE...``, each as ``model.source``: a model that torch runs, and the folder that
``pictwarden model convert`` made of it. Linux alone tells the memory that a process would give back (PSS).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import bare_pass, hardware
from benchmarks.bare_pass import EngineOptions
from benchmarks.processes import measured_apart

_SIZES = (1, 16)


def bench(
    source: Annotated[list[str], typer.Argument(help="As model.source in the configuration; several, if wanted.")],
    precision: Annotated[str, typer.Option(help="Of torch, as model.precision in the configuration.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Of a pass; by default every core.")] = None,
    duration_s: Annotated[float, typer.Option(min=0.1, help="Seconds for each batch size.")] = 1.5,
) -> None:
    """Measure each in a process of its own; print a table."""
    console = Console(highlight=False)
    console.print(hardware.describe())
    table = Table("source", *(f"views/s at batch {size}" for size in _SIZES), "memory (PSS), MB")
    for each in source:
        converted = Path(each).expanduser().is_dir()
        options = EngineOptions(each, "cpu", "auto" if converted else precision, threads)
        rates, pss_bytes = measured_apart(_measure, options, duration_s)
        table.add_row(
            each,
            *(f"{rates[size].views_per_s:.1f}" if size in rates else "-" for size in _SIZES),
            f"{pss_bytes / 1e6:.0f}",
        )
    console.print(table)


def _measure(options: EngineOptions, duration_s: float) -> tuple[bare_pass.Rates, int]:
    engine = bare_pass.opened(options)
    return bare_pass.sustained_rates(engine, duration_s, max(_SIZES)), _pss_bytes()


def _pss_bytes() -> int:
    """This process's memory, with its share of what it has in common with others."""
    lines = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes * 1024
