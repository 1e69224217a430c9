"""How long the running service keeps an uploader waiting, in short (`make bench`).

Four loads: one picture after another, 16 connections that never rest, the same with mixed sizes, and open-loop Poisson
arrivals of mixed sizes at half of what those got through.
"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks import load
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import in_time, load_table, validity
from benchmarks.command import Anywhere, Out, Run, Seed, Url, console, scan_target
from benchmarks.load import Target

CONNECTIONS = 16
_WARM_UP_REQUESTS = 50


def bench(
    url: Url = None,
    requests: Annotated[int, typer.Option(min=10, help="Pictures, one after another.")] = 300,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each of the other loads.")] = 20.0,
    seed: Seed = 1,
    out: Out = None,
    anywhere: Anywhere = False,
) -> None:
    """Measure; exit code 1 if an answer is over the wall or late, or a picture was not scanned."""
    scan_url = scan_target(url, anywhere)
    run = Run("quick", seed, out, scan_url)
    with console.status("measuring"):
        alone, mixed = (Target(scan_url, pictures_of(size, seed)) for size in (Size.KB_200, Size.MIX))
        load.each_in_turn(alone, _WARM_UP_REQUESTS)
        busy, busy_mixed = (f"{size}, {CONNECTIONS} connections" for size in ("200 KB", "20 KB - 2 MB"))
        loads = [
            load.each_in_turn(alone, requests, name="200 KB, one after another"),
            load.at_once(alone, CONNECTIONS, duration_s, busy),
            load.at_once(mixed, CONNECTIONS, duration_s / 2, busy_mixed),
        ]
        # What the mixture costs is not what 200 KB cost: the open loop is a share of this.
        rate_per_s = loads[-1].offered_per_s / 2
        arrivals_s = load.poisson_arrivals_s(rate_per_s, duration_s, seed)
        loads.append(load.open_loop(mixed, arrivals_s, f"20 KB - 2 MB, Poisson {rate_per_s:.0f}/s"))
    checks = [*in_time(loads), *validity(loads)]
    run.finish("Latency, quickly", [load_table("Latency by load", loads)], checks)
