"""``make bench``: how long the running service keeps an uploader waiting, and whether that is under pict-rs' wall.

Four loads in one run, against the service that ``make run`` serves: one picture after another, 16 connections that
never rest, the same with mixed sizes, and open-loop Poisson arrivals of mixed sizes at half of what those got through.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.memory import service_memory_bytes
from benchmarks.outcomes import latencies
from benchmarks.pictures import Pictures, Size
from benchmarks.plots import Mark, latency_distribution
from benchmarks.report import Column, Section, Table
from benchmarks.run import Run
from benchmarks.tables import HOW_TO_READ, WALL_S, Measured, in_time, load_table, validity
from benchmarks.target import OUT, Anywhere, Out, Seed, Url, scan_target

CONNECTIONS = 16
_WARM_UP_REQUESTS = 50

console = Console(highlight=False)


def bench(
    url: Url = None,
    requests: Annotated[int, typer.Option(min=10, help="Pictures, one after another.")] = 300,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each of the other loads.")] = 20.0,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Pictures a second of the open loop.")] = None,
    seed: Seed = 1,
    out: Out = OUT,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if an answer is over the wall or late, or a picture was not looked at."""
    scan_url = scan_target(url, anywhere, console)
    run = Run("quick", scan_url, seed, console)
    with console.status("making pictures"):
        alone, mixed = Pictures(Size.KB_200, seed).bodies(), Pictures(Size.MIX, seed).bodies()
    measured = asyncio.run(_measure(scan_url, alone, mixed, requests, duration_s, rate, seed))
    sections = [
        Section(
            "Latency by load",
            HOW_TO_READ,
            load_table(measured),
            (
                latency_distribution(
                    "Latency by the share of answers",
                    {each.name: latencies(each.load.outcomes) for each in measured},
                    [Mark(WALL_S * 1e3, f"the wall, {WALL_S:.0f} s")],
                ),
            ),
        )
    ]
    memory_bytes = service_memory_bytes(scan_url)
    if memory_bytes is not None:
        columns = (Column("of"), Column("GB", 2))
        note = "Proportional set size: pages that processes share count once."
        sections.append(
            Section("Memory", note, Table(columns, (("all processes of the service", memory_bytes / 1e9),)))
        )
    checks = [*in_time(measured), *validity(measured)]
    run.finish("Latency, quickly", sections, checks, out)


async def _measure(
    url: str,
    alone: load.MakeBody,
    mixed: load.MakeBody,
    requests: int,
    duration_s: float,
    rate: float | None,
    seed: int,
) -> list[Measured]:
    with console.status("warming up") as status:
        await load.one_after_another(url, alone, _WARM_UP_REQUESTS)
        status.update("one after another")
        single = await load.one_after_another(url, alone, requests)
        status.update(f"{CONNECTIONS} connections")
        busy = await load.at_once(url, alone, CONNECTIONS, duration_s)
        status.update(f"{CONNECTIONS} connections, mixed sizes")
        # What the mixture costs is not what 200 KB cost: the open loop is a share of this.
        busy_mixed = await load.at_once(url, mixed, CONNECTIONS, duration_s / 2)
        rate = rate or busy_mixed.offered_per_s / 2
        status.update(f"open loop, {rate:.0f} a second")
        spread = await load.open_loop(url, mixed, poisson_arrivals_s(rate, duration_s, seed))
    return [
        Measured("200 KB, one after another", single),
        Measured(f"200 KB, {CONNECTIONS} connections", busy),
        Measured(f"20 KB - 2 MB, {CONNECTIONS} connections", busy_mixed),
        Measured(f"20 KB - 2 MB, Poisson {rate:.0f}/s", spread),
    ]


if __name__ == "__main__":
    typer.run(bench)
