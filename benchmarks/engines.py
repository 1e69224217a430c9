"""``make bench-engines``: pictures a second of torch and of openvino-int8, side by side, at each batch size.

No service runs. Each engine is measured in a process of its own, twice, in turns, so that a neighbour who comes and
goes slows both; the best batch size of each is compared. Random weights have true speed and no meaning: how far the
engines agree is what ``pictwarden model compare`` tells. ``ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16`` in the environment
keeps both from AMX, as on processors without it. Exit code 1 if openvino-int8 is not as fast as wanted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import bare_pass, hardware
from benchmarks.bare_pass import EngineOptions, Rates, best_of, best_of_each
from benchmarks.output import FOLDER, finish
from benchmarks.report import Check, Column, Report, Section, Table, at_least
from benchmarks.target import command_line
from serve_app.models.open import OPENVINO_INT8

LEAST_RATIO = 1.7

_MODELS = ["random:ViT-B-32", "random:ViT-L-14"]
_MAX_BATCH_VIEWS = 64

console = Console(highlight=False)


def bench(
    model: Annotated[list[str], typer.Option(help="As model.source in the configuration; may be repeated.")] = _MODELS,
    threads: Annotated[int | None, typer.Option(min=1, help="Of a pass; by default every core.")] = None,
    duration_s: Annotated[float, typer.Option(min=0.1, help="Seconds for each batch size.")] = 1.0,
    cache_folder: Annotated[Path | None, typer.Option(help="As model.cache_folder in the configuration.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the reports.")] = FOLDER,
) -> None:
    """Measure, compare, report."""
    started_at = datetime.now(UTC)
    machine = hardware.facts()
    console.print(hardware.describe())
    sections: list[Section] = []
    checks: list[Check] = []
    for source in model:
        with console.status(f"{source} (what the cache has not is converted first, for some minutes)"):
            torch: list[Rates] = []
            int8: list[Rates] = []
            for _ in range(2):
                for rates, engine in ((torch, "torch"), (int8, OPENVINO_INT8)):
                    options = EngineOptions(source, "cpu", "auto", threads, engine, cache_folder)
                    rates.append(bare_pass.measure(options, {}, duration_s, _MAX_BATCH_VIEWS))
        ratio = best_of(*int8)[1] / best_of(*torch)[1]
        sections.append(_section(source, best_of_each(*torch), best_of_each(*int8)))
        checks.append(at_least(f"{source}: {OPENVINO_INT8} ÷ torch, best batch of each", ratio, LEAST_RATIO, "", 2))
    report = Report("Engines on the CPU", command_line("engines"), machine, 0, started_at, sections, checks)
    raise typer.Exit(finish(report, "engines", out, console))


def _section(source: str, torch: Rates, int8: Rates) -> Section:
    rows = tuple(
        (str(size), torch.get(size), int8.get(size), _ratio(int8.get(size), torch.get(size)))
        for size in sorted({*torch, *int8})
    )
    columns = (Column("batch"), Column("torch, per s", 1), Column(f"{OPENVINO_INT8}, per s", 1), Column("times", 2))
    return Section(source, "pictures a second by batch size, the better of two measurements", Table(columns, rows))


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None


if __name__ == "__main__":
    # Under its own name, so that the processes can import what they are sent.
    from benchmarks import engines

    typer.run(engines.bench)
