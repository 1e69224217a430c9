"""How many pictures a second the service scans, what each stage costs, and how much of the machine its model gets.

The *knee* is the highest offered load, of steps from 20 to 120 % of what saturated connections get through, up to which
at least 99 % of the pictures were scanned within ``--within-s``.

*Efficiency* is pictures a second over HTTP, saturated, divided by pictures a second of the bare forward pass at its
best batch size, on the same cores in the same run. The bare pass is measured before and after the load, in a process of
its own, while the service is idle; the better of the two counts.

*Core-ms* of a stage is the processor time that its processes (or, of a service in one process, its threads) used while
connections never rest, divided by the pictures that were scanned. *Around the pass* is the sum less the bare pass.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import psutil
import typer

from benchmarks import bare_pass, hardware, load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.bare_pass import EngineOptions, Rates
from benchmarks.bodies import MakeBody, Pictures, Size
from benchmarks.checks import HOW_TO_READ, Measured, load_table, validity
from benchmarks.command import OUT, Anywhere, Connections, Out, Run, Seed, Url, console, require_goodput, scan_target
from benchmarks.outcomes import Load, latencies
from benchmarks.processes import cpu_by_stage_s, scorer_environment
from benchmarks.report import Column, Plot, Section, Table, at_least, at_most

SHARES = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
KEPT_UP_SHARE = 0.99

LEAST_AGREEMENT = 0.9
"""Of the bare pass before and after: with less, somebody else computed meanwhile, and no efficiency was measured."""

FULL_SHARE = 0.9
"""Of cores or of a device: nobody keeps all of it busy all the time."""

_EMBEDDED = {"demo-shapes": "embedded:demo-shapes"}


@dataclass(frozen=True, slots=True)
class OverHttp:
    """The saturated load, processor time by stage in another one like it, and an open-loop load for each share."""

    saturated: load.Saturation
    cpu_by_stage_s: Mapping[str, float]
    pictures: int
    steps: list[Measured]

    @property
    def pictures_per_s(self) -> float:
        """Scanned, saturated."""
        return self.saturated.load.goodput_per_s


def bench(
    url: Url = None,
    size: Annotated[
        Size, typer.Option(help="Of the pictures. One view each: the bare pass has no more.")
    ] = Size.KB_200,
    connections: Connections = None,
    saturated_s: Annotated[float, typer.Option(min=2, help="Seconds of each saturated load.")] = 15.0,
    step_s: Annotated[float, typer.Option(min=2, help="Seconds of each step; 0.2 to 1.2 of capacity.")] = 8.0,
    within_s: Annotated[float, typer.Option(min=0.01, help="The wanted time of the knee.")] = 1.0,
    model: Annotated[str | None, typer.Option(help="model.source of the service; by default what it says.")] = None,
    device: Annotated[str, typer.Option(help="model.device of the service.")] = "auto",
    precision: Annotated[str, typer.Option(help="model.precision of the service.")] = "auto",
    engine: Annotated[str, typer.Option(help="model.engine of the service.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="model.cpu_threads of the service; every core.")] = None,
    least_efficiency: Annotated[float, typer.Option(min=0, max=1, help="Wanted.")] = 0.85,
    seed: Seed = 1,
    out: Out = OUT,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if the efficiency is under --least-efficiency."""
    scan_url = scan_target(url, anywhere)
    run = Run("capacity", seed, scan_url)
    source = model or asyncio.run(_model_of(scan_url))
    options = EngineOptions(source, device, precision, threads, engine)
    environment = scorer_environment(run.root)
    limits = {name: environment[name] for name in hardware.CPU_FEATURES if name in environment}
    with console.status(f"the bare pass of {source}, before"):
        before = bare_pass.measure(options, limits)
    over_http = asyncio.run(_over_http(scan_url, size, connections, saturated_s, step_s, seed, run.root))
    with console.status(f"the bare pass of {source}, after"):
        after = bare_pass.measure(options, limits)
    best = bare_pass.best_of([before, after])[1]
    efficiency = over_http.pictures_per_s / best.views_per_s
    sections = [
        _efficiency_section(source, before, after, over_http, limits),
        *([_stage_section(over_http, best.core_ms)] if over_http.cpu_by_stage_s else []),
        _knee_section(over_http.steps, within_s),
        Section("Every step", HOW_TO_READ, load_table(over_http.steps)),
    ]
    undisturbed = bare_pass.agreement(before, after)
    checks = [
        at_least("efficiency: pictures/s over HTTP ÷ of the bare pass", efficiency, least_efficiency, digits=3),
        at_most("no more pictures/s over HTTP than the bare pass has", efficiency, 1, digits=3),
        at_least("the bare pass before and after, the lower ÷ the higher", undisturbed, LEAST_AGREEMENT, digits=2),
        *validity([Measured("saturated", over_http.saturated.load), *over_http.steps]),
    ]
    run.finish("Capacity and efficiency", sections, checks, out)


def bottleneck(efficiency: float, busy_cores: float, cores: int) -> str:
    """What a saturated service had no more of.

    Args:
        efficiency: the share of its device that the model got.
        busy_cores: of this machine, on average.
        cores: that this machine has.
    """
    busy = f"{busy_cores:.2f} of {cores} were busy"
    if busy_cores >= FULL_SHARE * cores:
        return f"the cores of this machine: {busy}."
    if efficiency >= FULL_SHARE:
        return f"the model's device, which did {efficiency:.0%} of what it can. Of the cores {busy}."
    return (
        f"none was found: of the cores {busy}, and the model's device did {efficiency:.0%} of what it can. "
        "Were there too few connections (--connections), or too few decode workers?"
    )


def knee(shares_in_time: Sequence[float]) -> int | None:
    """The place of the highest load that the service kept up with, of steps in ascending order of load.

    A load above one that it did not keep up with does not count: luck is not capacity.
    """
    kept_up = next((place for place, share in enumerate(shares_in_time) if share < KEPT_UP_SHARE), len(shares_in_time))
    return kept_up - 1 if kept_up else None


def share_in_time(of: Load, within_s: float) -> float:
    """Of the pictures sent, the share that was scanned within ``within_s``."""
    return sum(each.is_scanned and each.latency_s <= within_s for each in of.outcomes) / len(of.outcomes)


async def cpu_while_saturated(
    url: str, make_body: MakeBody, connections: int, duration_s: float, root: psutil.Process
) -> tuple[dict[str, float], Load]:
    """Processor time of each stage of the service below ``root`` during a load of connections that never rest."""
    before = cpu_by_stage_s(root)
    measured = await load.at_once(url, make_body, connections, duration_s)
    # A process that ended meanwhile has taken its time with it.
    used = {stage: max(0.0, used_s - before.get(stage, 0.0)) for stage, used_s in cpu_by_stage_s(root).items()}
    return used, measured


async def _model_of(url: str) -> str:
    """The source of the model that the service says it has."""
    async with load.Client(url) as client:
        status, body = await client.get("/readyz")
    if status != 200:
        console.print(f"the service is not ready: /readyz answers {status}")
        raise typer.Exit(2)
    name = str(json.loads(body)["model"]).rpartition("@")[0]
    return _EMBEDDED.get(name, name)


async def _over_http(
    url: str,
    size: Size,
    connections: int | None,
    saturated_s: float,
    step_s: float,
    seed: int,
    root: psutil.Process | None,
) -> OverHttp:
    with console.status("saturated") as status:
        make_body = Pictures(size, seed).bodies()
        saturated = await load.find_capacity(
            url, make_body, saturated_s, connections, lambda tried: status.update(f"{tried} connections")
        )
        capacity_per_s = saturated.load.goodput_per_s
        require_goodput(capacity_per_s, saturated.load.outcomes)
        used: dict[str, float] = {}
        pictures = 0
        if root is not None:
            status.update("processor time by stage")
            used, measured = await cpu_while_saturated(url, make_body, saturated.connections, saturated_s, root)
            pictures = sum(each.is_scanned for each in measured.outcomes)
        steps = []
        for share in SHARES:
            status.update(f"{share:.0%} of {capacity_per_s:.1f} pictures/s")
            arrivals_s = poisson_arrivals_s(share * capacity_per_s, step_s, seed)
            steps.append(Measured(f"{share:.0%}", await load.open_loop(url, make_body, arrivals_s)))
    return OverHttp(saturated, used, pictures, steps)


def _efficiency_section(
    source: str, before: Rates, after: Rates, over_http: OverHttp, limits: Mapping[str, str]
) -> Section:
    batch, best = bare_pass.best_of([before, after])
    columns = (Column("batch"), Column("bare pass before, pictures/s", 1), Column("after, pictures/s", 1))
    rows = tuple(
        (str(each), *(rates[each].views_per_s if each in rates else None for rates in (before, after)))
        for each in sorted({*before, *after})
    )
    cores, saturated = hardware.cores(), over_http.saturated
    over_http_core_ms, bare_core_ms = (1e3 * cores / rate for rate in (over_http.pictures_per_s, best.views_per_s))
    efficiency = over_http.pictures_per_s / best.views_per_s
    client_core_ms = 1e3 * saturated.load.client_cpu_s / len(saturated.load.outcomes)
    note = (
        f"Over HTTP, saturated by {saturated.connections} connections: {over_http.pictures_per_s:.1f} pictures/s. Bare "
        f"pass of {source} at its best batch ({batch}): {best.views_per_s:.1f} pictures/s. Efficiency "
        f"{efficiency:.3f}.\n"
        f"On {cores} cores a picture takes {over_http_core_ms:.1f} core-ms over HTTP and {bare_core_ms:.1f} in the "
        f"bare pass. The {over_http_core_ms - bare_core_ms:.1f} core-ms between them are HTTP, decoding, data between "
        f"processes, cores that wait, and the generator, which took {client_core_ms:.2f}.\n"
        "The scorer's environment limits its instructions by: "
        f"{hardware.limits_of_the_cpu(limits) or 'nothing that can be seen'}.\n"
        f"Bottleneck: {bottleneck(efficiency, saturated.load.busy_cores, cores)}"
    )
    return Section("Efficiency", note, Table(columns, rows))


def _stage_section(over_http: OverHttp, bare_core_ms: float) -> Section:
    by_stage = {stage: 1e3 * used_s / over_http.pictures for stage, used_s in over_http.cpu_by_stage_s.items()}
    total_ms = sum(by_stage.values())
    rows = [*sorted(by_stage.items(), key=lambda each: -each[1]), ("all of the service", total_ms)]
    rows += [("the bare pass", bare_core_ms), ("around the pass", total_ms - bare_core_ms)]
    note = f"Processor time of {over_http.pictures} pictures while {over_http.saturated.connections} connections send."
    return Section("Core-ms by stage", note, Table((Column("stage"), Column("core-ms a picture", 2)), tuple(rows)))


def _knee_section(steps: Sequence[Measured], within_s: float) -> Section:
    loads = [each.load for each in steps]
    shares = [share_in_time(each, within_s) for each in loads]
    place = knee(shares)
    found = "below the first step" if place is None else f"{loads[place].offered_per_s:.1f} pictures/s offered"
    note = (
        f"Knee: {found}: the highest load up to which at least {KEPT_UP_SHARE:.0%} of the pictures were scanned within "
        f"{within_s:g} s."
    )
    columns = (Column("offered/s", 1), Column("scanned/s", 1), Column(f"within {within_s:g} s, %", 1))
    rows = tuple(
        (each.offered_per_s, each.goodput_per_s, share * 100) for each, share in zip(loads, shares, strict=True)
    )
    most_per_s = loads[-1].offered_per_s
    throughput = {
        "scanned": [(each.offered_per_s, each.goodput_per_s) for each in loads],
        "as offered": [(0.0, 0.0), (most_per_s, most_per_s)],
    }
    percentiles = {
        f"p{share * 100:g}": [
            (each.offered_per_s, told_ms)
            for each in loads
            if (told_ms := latencies(each.outcomes).told_percentile_ms(share)) is not None
        ]
        for share in (0.5, 0.99)
    }
    plots = (
        Plot("Throughput against load", "offered, pictures/s", "scanned, pictures/s", throughput, {}, {}),
        Plot("Latency against load", "offered, pictures/s", "ms", percentiles, {}, {}, is_log_y=True),
    )
    return Section("The knee", note, Table(columns, rows), plots)
