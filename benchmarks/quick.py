"""How long the running service keeps an uploader waiting, in short (`make bench`).

Four loads: one picture after another, 16 connections that never rest, the same with mixed sizes, and open-loop Poisson
arrivals of mixed sizes at half of what those got through.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from benchmarks import load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.bodies import Pictures, Size
from benchmarks.checks import Measured, in_time, load_table, validity
from benchmarks.command import Anywhere, Out, Run, Seed, Url, console, scan_target

CONNECTIONS = 16
_WARM_UP_REQUESTS = 50


def bench(
    url: Url = None,
    requests: Annotated[int, typer.Option(min=10, help="Pictures, one after another.")] = 300,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each of the other loads.")] = 20.0,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Pictures a second of the open loop.")] = None,
    seed: Seed = 1,
    out: Out = None,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if an answer is over the wall or late, or a picture was not scanned."""
    scan_url = scan_target(url, anywhere)
    run = Run("quick", seed, out, scan_url)
    measured = asyncio.run(_measure(scan_url, requests, duration_s, rate, seed))
    checks = [*in_time(measured), *validity(measured)]
    run.finish("Latency, quickly", [load_table("Latency by load", measured)], checks)


async def _measure(url: str, requests: int, duration_s: float, rate: float | None, seed: int) -> list[Measured]:
    with console.status("making pictures") as status:
        alone, mixed = Pictures(Size.KB_200, seed).bodies(), Pictures(Size.MIX, seed).bodies()
        status.update("warming up")
        await load.each_in_turn(url, alone, _WARM_UP_REQUESTS)
        status.update("one after another")
        single = await load.each_in_turn(url, alone, requests)
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
