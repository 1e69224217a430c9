"""How many pictures a second the service scans, what each stage costs, and how much of the machine its model gets.

*Efficiency* is pictures a second over HTTP, saturated, divided by pictures a second of the bare forward pass at its
best batch size, on the same cores in the same run. The bare pass is measured before and after the load, in a process of
its own, while the service is idle; the better of the two counts.

*Core-ms* of a stage is the processor time that its processes (or, of a service in one process, its threads) used while
connections never rest, divided by the pictures that were scanned. *Around the pass* is the sum less the bare pass.
"""

from __future__ import annotations

import json
from typing import Annotated
from urllib.parse import urljoin

import typer

from benchmarks import bare_pass, hardware, load
from benchmarks.bare_pass import BarePass, Rates
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import validity
from benchmarks.command import Anywhere, Connections, Out, Run, Seed, Url, console, measured_capacity, scan_target
from benchmarks.load import Target
from benchmarks.outcomes import Load
from benchmarks.processes import memory_bytes, scorer_environment
from benchmarks.record import Table, at_least, at_most, table
from serve_app.wire import READY_PATH

LEAST_AGREEMENT = 0.9
"""Of the bare pass before and after: with less, somebody else computed meanwhile, and no efficiency was measured."""

LEAST_EFFICIENCY = {True: 0.7, False: 0.88}
"""Of one process, with AMX and without: the faster the pass, the more counts what is around it."""

_EMBEDDED = {"demo-shapes": "embedded:demo-shapes"}


def bench(
    url: Url = None,
    size: Annotated[Size, typer.Option(help="Of the pictures. Each has one view, as in the bare pass.")] = Size.KB_200,
    connections: Connections = None,
    saturated_s: Annotated[float, typer.Option(min=1, help="Seconds of each saturated load.")] = 15.0,
    model: Annotated[str | None, typer.Option(help="model.source of the service; by default what it says.")] = None,
    engine: Annotated[str, typer.Option(help="model.engine of the service.")] = "auto",
    least_efficiency: Annotated[
        float | None, typer.Option(min=0, max=1, help="The least that passes; by default 0.7 with AMX, 0.88 without.")
    ] = None,
    around_ms: Annotated[float | None, typer.Option(min=0, help="Core-ms around the pass that are allowed.")] = None,
    seed: Seed = 1,
    out: Out = None,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if the efficiency is under --least-efficiency, or more than --around-ms are used."""
    scan_url = scan_target(url, anywhere)
    run = Run("capacity", seed, out, scan_url)
    source = model or _model_of(scan_url)
    environment = scorer_environment(run.root)
    limits = {name: environment[name] for name in hardware.CPU_FEATURES if name in environment}
    alone = BarePass(source, engine, environment=limits)
    with console.status(f"the bare pass of {source}, before"):
        before, _ = bare_pass.measure(alone)
    target = Target(scan_url, pictures_of(size, seed), service=run.root)
    saturated = measured_capacity(target, saturated_s, connections)
    pss_gb = memory_bytes(run.root) / 1e9 if run.root else None
    with console.status(f"the bare pass of {source}, after"):
        after, _ = bare_pass.measure(alone)
    batch, best = bare_pass.best_of([before, after])
    efficiency = saturated.goodput_per_s / best.views_per_s
    wanted = LEAST_EFFICIENCY[hardware.has_amx() and not limits] if least_efficiency is None else least_efficiency
    told = (
        ("pictures/s over HTTP", saturated.goodput_per_s),
        ("connections", saturated.connections),
        ("pictures/s of the bare pass", best.views_per_s),
        ("at a batch of", batch),
        ("efficiency: over HTTP ÷ bare pass", efficiency),
        (f"busy cores, of {hardware.cores()}", saturated.busy_cores),
        ("memory of all processes (PSS), GB", pss_gb),
    )
    note = f"The scorer's instructions are limited by {hardware.limits_of_the_cpu(limits)}." if limits else ""
    tables = [table(f"{source}, {size} pictures", {"saturated": 0, "": 2}, told, note)]
    checks = [at_least("efficiency: pictures/s over HTTP ÷ of the bare pass", efficiency, wanted, digits=3)]
    around: float | None = None
    if saturated.core_ms:
        tables.append(stage_table(saturated, best.core_ms))
        around = sum(saturated.core_ms.values()) - best.core_ms
    if around_ms is not None:
        checks.append(at_most("around the pass, a picture", around, around_ms, "core-ms", 1))
    checks += [
        at_least("the bare pass before and after, lower ÷ higher", agreement(before, after), LEAST_AGREEMENT, digits=2),
        *validity([saturated]),
    ]
    run.finish("Capacity and efficiency", tables, checks)


def agreement(before: Rates, after: Rates) -> float:
    """The lower of the two best rates over the higher one: 1 if nobody disturbed either."""
    lower, higher = sorted(max(rates.values()).views_per_s for rates in (before, after))
    return lower / higher


def stage_table(of: Load, bare_core_ms: float) -> Table:
    """Core-ms a picture of each stage, their sum, the bare pass and the rest."""
    by_stage = sorted(((stage, used_ms) for stage, used_ms in of.core_ms.items() if used_ms), key=lambda each: -each[1])
    total_ms = sum(of.core_ms.values())
    rows = [*by_stage, ("all of the service", total_ms)]
    rows += [("the bare pass", bare_core_ms), ("around the pass", total_ms - bare_core_ms)]
    rows += [("the generator (not in the sum)", 1e3 * of.client_cpu_s / len(of.outcomes))]
    return table("Core-ms by stage", {"stage": 0, "core-ms a picture": 2}, rows)


def _model_of(url: str) -> str:
    """The source of the model that the service says it has."""
    status, body = load.fetched(urljoin(url, READY_PATH))
    if status != 200:
        console.print(f"the service is not ready: {READY_PATH} answers {status}")
        raise typer.Exit(2)
    name = str(json.loads(body)["model"]).rpartition("@")[0]
    return _EMBEDDED.get(name, name)
