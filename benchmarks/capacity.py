"""``make bench-capacity``: how much the service bears, and how much of the machine its model gets.

The *knee* is the highest offered load, of steps from 20 to 120 % of what saturated connections get through, up to which
at least 99 % of the pictures were looked at within ``--within-s``.

*Efficiency* is pictures a second over HTTP, saturated, divided by pictures a second of the bare forward pass at its
best batch size, on the same cores in the same run. The bare pass is measured before and after the load, in a process of
its own, while the service is idle; the better of the two counts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import bare_pass, hardware, load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.client import Client
from benchmarks.knee import KEPT_UP_SHARE, Step, knee
from benchmarks.memory import scorer_environment
from benchmarks.pictures import Pictures, Size
from benchmarks.plots import Axis, Mark, Scale, lines
from benchmarks.report import Column, Section, Table, at_least, at_most
from benchmarks.run import Run
from benchmarks.saturation import Saturation, find_capacity
from benchmarks.tables import HOW_TO_READ, WALL_S, Measured, load_table, validity
from benchmarks.target import OUT, Anywhere, Connections, Out, Seed, Url, require_goodput, scan_target

SHARES = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)

LEAST_AGREEMENT = 0.9
"""Of the bare pass before and after: with less, somebody else computed meanwhile, and no efficiency was measured."""

FULL_SHARE = 0.9
"""Of cores or of a device: nobody keeps all of it busy all the time."""

_EMBEDDED = {"demo-shapes": "embedded:demo-shapes"}

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class OverHttp:
    """The saturated load, and one open-loop load for each share of what it got through."""

    saturated: Saturation
    steps: list[Measured]

    @property
    def pictures_per_s(self) -> float:
        """Looked at, saturated."""
        return self.saturated.pictures_per_s


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
    scan_url = scan_target(url, anywhere, console)
    run = Run("capacity", scan_url, seed, console)
    source = model or asyncio.run(_model_of(scan_url))
    options = bare_pass.EngineOptions(source, device, precision, threads, engine)
    limits = {name: value for name, value in scorer_environment(scan_url).items() if name in hardware.CPU_FEATURES}
    with console.status(f"the bare pass of {source}, before"):
        before = bare_pass.measure(options, limits)
    over_http = asyncio.run(_over_http(scan_url, size, connections, saturated_s, step_s, seed))
    with console.status(f"the bare pass of {source}, after"):
        after = bare_pass.measure(options, limits)
    _, bare_per_s = bare_pass.best_of(before, after)
    undisturbed = bare_pass.agreement(before, after)
    efficiency = over_http.pictures_per_s / bare_per_s
    sections = [
        _efficiency_section(source, before, after, over_http, limits),
        _knee_section(over_http, within_s),
        Section("Every step", HOW_TO_READ, load_table(over_http.steps)),
    ]
    checks = [
        at_least("efficiency: pictures/s over HTTP ÷ of the bare pass", efficiency, least_efficiency, "", 3),
        at_most("no more pictures/s over HTTP than the bare pass has", efficiency, 1, "", 3),
        at_least("the bare pass before and after, the lower ÷ the higher", undisturbed, LEAST_AGREEMENT, "", 2),
        *validity([Measured("saturated", over_http.saturated.load), *over_http.steps]),
    ]
    run.finish("Capacity and efficiency", sections, checks, out)


async def _model_of(url: str) -> str:
    """The source of the model that the service says it has."""
    async with Client(url) as client:
        answer = await client.get("/readyz")
    if answer.status != 200:
        console.print(f"the service is not ready: /readyz answers {answer.status}")
        raise typer.Exit(2)
    name = str(json.loads(answer.body)["model"]).rpartition("@")[0]
    return _EMBEDDED.get(name, name)


async def _over_http(
    url: str, size: Size, connections: int | None, saturated_s: float, step_s: float, seed: int
) -> OverHttp:
    with console.status("saturated") as status:
        make_body = Pictures(size, seed).bodies()
        saturated = await find_capacity(
            url, make_body, saturated_s, connections, lambda tried: status.update(f"{tried} connections")
        )
        capacity_per_s = saturated.pictures_per_s
        require_goodput(capacity_per_s, saturated.load.outcomes, console)
        steps = []
        for share in SHARES:
            status.update(f"{share:.0%} of {capacity_per_s:.1f} pictures/s")
            arrivals = poisson_arrivals_s(share * capacity_per_s, step_s, seed)
            steps.append(Measured(f"{share:.0%}", await load.open_loop(url, make_body, arrivals)))
    return OverHttp(saturated, steps)


def _efficiency_section(
    source: str,
    before: Mapping[int, float],
    after: Mapping[int, float],
    over_http: OverHttp,
    limits: Mapping[str, str],
) -> Section:
    batch, bare_per_s = bare_pass.best_of(before, after)
    columns = (Column("batch"), Column("bare pass before, pictures/s", 1), Column("after, pictures/s", 1))
    rows = tuple((str(each), before.get(each), after.get(each)) for each in sorted({*before, *after}))
    cores = hardware.cores()
    over_http_core_ms, bare_core_ms = (1e3 * cores / rate for rate in (over_http.pictures_per_s, bare_per_s))
    efficiency = over_http.pictures_per_s / bare_per_s
    client_core_ms = 1e3 * over_http.saturated.load.client_cpu_s / len(over_http.saturated.load.outcomes)
    note = (
        f"Over HTTP, saturated by {over_http.saturated.connections} connections: {over_http.pictures_per_s:.1f} "
        f"pictures/s. Bare pass of {source} at its best "
        f"batch ({batch}): {bare_per_s:.1f} pictures/s. Efficiency {efficiency:.3f}.\n"
        f"On {cores} cores a picture takes {over_http_core_ms:.1f} core-ms over HTTP and {bare_core_ms:.1f} in the "
        f"bare pass. The {over_http_core_ms - bare_core_ms:.1f} core-ms between them are HTTP, decoding, what goes "
        f"between processes, cores that wait, and the generator, which took {client_core_ms:.2f}.\n"
        "What limits the scorer's instructions: "
        f"{hardware.limits_of_the_cpu(limits) or 'nothing that its environment says'}.\n"
        f"Bottleneck: {bottleneck(efficiency, over_http.saturated.load.busy_cores, cores)}"
    )
    return Section("Efficiency", note, Table(columns, rows))


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


def _knee_section(over_http: OverHttp, within_s: float) -> Section:
    steps = [Step.of(each.load, within_s) for each in over_http.steps]
    found = knee(steps)
    told = "below the first step" if found is None else f"{found.offered_per_s:.1f} pictures/s offered"
    note = (
        f"Knee: {told}: the highest load up to which at least {KEPT_UP_SHARE:.0%} of the pictures were looked at "
        f"within {within_s:g} s."
    )
    columns = (Column("offered/s", 1), Column("looked at/s", 1), Column(f"within {within_s:g} s, %", 1))
    rows = tuple((each.offered_per_s, each.looked_at_per_s, each.in_time_share * 100) for each in steps)
    throughput = {
        "looked at": [(each.offered_per_s, each.looked_at_per_s) for each in steps],
        "as offered": [(0.0, 0.0), (steps[-1].offered_per_s, steps[-1].offered_per_s)],
    }
    percentiles = {
        f"p{share * 100:g}": [
            (each.offered_per_s, told_ms)
            for each in steps
            if (told_ms := each.latencies.told_percentile_ms(share)) is not None
        ]
        for share in (0.5, 0.99)
    }
    wall = Mark(WALL_S * 1e3, f"the wall, {WALL_S:.0f} s")
    plots = (
        lines("Throughput against load", "offered, pictures/s", Axis("looked at, pictures/s"), throughput),
        lines("Latency against load", "offered, pictures/s", Axis("ms", Scale.LOG), percentiles, [wall]),
    )
    return Section("The knee", note, Table(columns, rows), plots)


if __name__ == "__main__":
    # Under its own name, so that the bare pass's process can import what it is sent.
    from benchmarks import capacity

    typer.run(capacity.bench)
