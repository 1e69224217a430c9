"""How many pictures a second the service scans, what each stage costs, and how much of the machine its model gets.

*Efficiency* is pictures a second over HTTP, saturated, divided by pictures a second of the bare forward pass at its
best batch size, on the same cores in the same run. The bare pass is measured before and after the load, in a process of
its own, while the service is idle; the better of the two counts.

*Core-ms* of a stage is the processor time that its processes (or, of a service in one process, its threads) used while
connections never rest, divided by the pictures that were scanned. *Around the pass* is the sum less the bare pass.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated

import psutil
import typer

from benchmarks import bare_pass, hardware, load
from benchmarks.bare_pass import EngineOptions, Rates
from benchmarks.bodies import Pictures, Size
from benchmarks.checks import Measured, validity
from benchmarks.command import Anywhere, Connections, Out, Run, Seed, Url, console, measured_capacity, scan_target
from benchmarks.outcomes import Load
from benchmarks.processes import cpu_by_stage_s, memory_bytes, scorer_environment
from benchmarks.record import Check, Column, Table, at_least, at_most
from serve_app.wire import READY_PATH

LEAST_AGREEMENT = 0.9
"""Of the bare pass before and after: with less, somebody else computed meanwhile, and no efficiency was measured."""

_EMBEDDED = {"demo-shapes": "embedded:demo-shapes"}


def bench(
    url: Url = None,
    size: Annotated[
        Size, typer.Option(help="Of the pictures. One view each: the bare pass has no more.")
    ] = Size.KB_200,
    connections: Connections = None,
    saturated_s: Annotated[float, typer.Option(min=1, help="Seconds of each saturated load.")] = 15.0,
    model: Annotated[str | None, typer.Option(help="model.source of the service; by default what it says.")] = None,
    device: Annotated[str, typer.Option(help="model.device of the service.")] = "auto",
    precision: Annotated[str, typer.Option(help="model.precision of the service.")] = "auto",
    engine: Annotated[str, typer.Option(help="model.engine of the service.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="model.cpu_threads of the service; every core.")] = None,
    least_efficiency: Annotated[float, typer.Option(min=0, max=1, help="Wanted.")] = 0.7,
    around_ms: Annotated[float | None, typer.Option(min=0, help="Core-ms around the pass that are allowed.")] = None,
    seed: Seed = 1,
    out: Out = None,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if the efficiency is under --least-efficiency, or more than --around-ms are used."""
    scan_url = scan_target(url, anywhere)
    run = Run("capacity", seed, out, scan_url)
    source = model or asyncio.run(_model_of(scan_url))
    options = EngineOptions(source, device, precision, threads, engine)
    environment = scorer_environment(run.root)
    limits = {name: environment[name] for name in hardware.CPU_FEATURES if name in environment}
    with console.status(f"the bare pass of {source}, before"):
        before = bare_pass.measure(options, limits)
    saturated, by_stage, again = asyncio.run(_over_http(scan_url, size, connections, saturated_s, seed, run.root))
    pss_gb = memory_bytes(run.root) / 1e9 if run.root else None
    with console.status(f"the bare pass of {source}, after"):
        after = bare_pass.measure(options, limits)
    batch, best = bare_pass.best_of([before, after])
    rate_per_s = saturated.load.goodput_per_s
    told = (
        ("pictures/s over HTTP", rate_per_s),
        ("connections", saturated.connections),
        ("pictures/s of the bare pass", best.views_per_s),
        ("at a batch of", batch),
        ("efficiency: over HTTP ÷ bare pass", rate_per_s / best.views_per_s),
        (f"busy cores, of {hardware.cores()}", saturated.load.busy_cores),
        ("memory of all processes (PSS), GB", pss_gb),
    )
    note = f"The scorer's instructions are limited by {hardware.limits_of_the_cpu(limits)}." if limits else ""
    tables = [
        Table(f"{source}, {size} pictures", (Column("saturated", 0), Column("", 2)), told, note),
        *([stage_table(by_stage, again, best.core_ms)] if by_stage else []),
    ]
    efficiency = rate_per_s / best.views_per_s
    checks = [
        at_least("efficiency: pictures/s over HTTP ÷ of the bare pass", efficiency, least_efficiency, digits=3),
        *([_around(by_stage, again, best.core_ms, around_ms)] if around_ms is not None else []),
        at_least("the bare pass before and after, lower ÷ higher", agreement(before, after), LEAST_AGREEMENT, digits=2),
        *validity([Measured("saturated", saturated.load)]),
    ]
    run.finish("Capacity and efficiency", tables, checks)


def agreement(before: Rates, after: Rates) -> float:
    """The lower of the two best rates over the higher one: 1 if nobody disturbed either."""
    lower, higher = sorted(max(rates.values()).views_per_s for rates in (before, after))
    return lower / higher


def stage_table(cpu_s: Mapping[str, float], of: Load, bare_core_ms: float) -> Table:
    """Core-ms a picture of each stage, their sum, the bare pass and the rest."""
    by_stage = {stage: used_ms for stage, used_ms in _core_ms(cpu_s, of).items() if used_ms}
    total_ms = sum(by_stage.values())
    rows = [*sorted(by_stage.items(), key=lambda each: -each[1]), ("all of the service", total_ms)]
    rows += [("the bare pass", bare_core_ms), ("around the pass", total_ms - bare_core_ms)]
    rows += [("the generator (not in the sum)", 1e3 * of.client_cpu_s / len(of.outcomes))]
    return Table("Core-ms by stage", (Column("stage"), Column("core-ms a picture", 2)), tuple(rows))


def _around(cpu_s: Mapping[str, float], of: Load, bare_core_ms: float, limit_ms: float) -> Check:
    around_ms = sum(_core_ms(cpu_s, of).values()) - bare_core_ms if cpu_s else None
    return at_most("around the pass, a picture", around_ms, limit_ms, "core-ms", 1)


def _core_ms(cpu_s: Mapping[str, float], of: Load) -> dict[str, float]:
    scanned = sum(each.is_scanned for each in of.outcomes)
    return {stage: 1e3 * used_s / scanned for stage, used_s in cpu_s.items()}


async def _model_of(url: str) -> str:
    """The source of the model that the service says it has."""
    async with load.Client(url) as client:
        status, body = await client.get(READY_PATH)
    if status != 200:
        console.print(f"the service is not ready: {READY_PATH} answers {status}")
        raise typer.Exit(2)
    name = str(json.loads(body)["model"]).rpartition("@")[0]
    return _EMBEDDED.get(name, name)


async def _over_http(
    url: str, size: Size, connections: int | None, saturated_s: float, seed: int, root: psutil.Process | None
) -> tuple[load.Saturation, dict[str, float], Load]:
    """The saturated load; and processor time by stage in another one like it."""
    make_body = Pictures(size, seed).bodies()
    _, saturated = await measured_capacity(url, make_body, saturated_s, connections)
    with console.status("processor time by stage"):
        before = cpu_by_stage_s(root) if root else {}
        again = await load.at_once(url, make_body, saturated.connections, saturated_s)
        after = cpu_by_stage_s(root) if root else {}
    # A process that ended meanwhile has taken its time with it.
    used = {stage: max(0.0, used_s - before.get(stage, 0.0)) for stage, used_s in after.items()}
    return saturated, used, again
