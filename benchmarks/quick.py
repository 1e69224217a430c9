"""``make bench``: how long the running service keeps an uploader waiting, and whether that is under pict-rs' wall.

Three loads in one run, against the service that ``make run`` serves: one picture after another, 16 connections that
never rest, and open-loop Poisson arrivals of mixed sizes at half of what the 16 connections got through. Every body is
a picture that the service has not seen: known bytes are answered without looking.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import hardware, load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.bodies import photo_like_jpeg, unique
from benchmarks.memory import service_memory_bytes
from benchmarks.statistics import Latencies
from serve_app.cli.connection import URL_ENV, known_url

WALL_S = 10.0
"""Lemmy gives up on a federated thumbnail after this many seconds, download included."""

CONNECTIONS = 16
_ALONE_BYTES = 200_000
_MIXED_BYTES = (20_000, 200_000, 200_000, 500_000, 2_000_000)
_WARM_UP_REQUESTS = 50

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Measured:
    """A load and its name."""

    name: str
    result: load.Load


def bench(
    url: Annotated[str | None, typer.Option(envvar=URL_ENV, help="Scan URL; by default that of `make run`.")] = None,
    requests: Annotated[int, typer.Option(min=10, help="Pictures, one after another.")] = 300,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each of the two other loads.")] = 20.0,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Pictures a second of the open loop.")] = None,
    seed: Annotated[int, typer.Option(help="Of the pictures and of the arrivals.")] = 1,
) -> None:
    """Measure; exit code 1 if the 99th percentile of any load is over the wall, or a picture was not looked at."""
    scan_url = url or known_url()
    if scan_url is None:
        console.print("no service known here: start one with `make run`, or give its scan URL with --url")
        raise typer.Exit(2)
    console.print(f"{hardware.describe()}; the load is made on the same cores; seed {seed}")
    with console.status("making pictures"):
        alone = _from([photo_like_jpeg(_ALONE_BYTES, seed)], seed)
        mixed = _from([photo_like_jpeg(size, seed + place) for place, size in enumerate(_MIXED_BYTES)], seed)
    measured = asyncio.run(_measure(scan_url, alone, mixed, requests, duration_s, rate, seed))
    console.print(_table(measured))
    memory_bytes = service_memory_bytes(scan_url)
    if memory_bytes is not None:
        console.print(f"memory of all processes of the service: {memory_bytes / 1e9:.2f} GB (proportional set size)")
    raise typer.Exit(_verdict(measured))


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
        rate = rate or busy_mixed.answers_per_s / 2
        status.update(f"open loop, {rate:.0f} a second")
        arrivals = poisson_arrivals_s(rate, duration_s, seed)
        spread = await load.open_loop(url, mixed, arrivals)
    return [
        Measured("200 KB, one after another", single),
        Measured(f"200 KB, {CONNECTIONS} connections", busy),
        Measured(f"20 KB - 2 MB, {CONNECTIONS} connections", busy_mixed),
        Measured(f"20 KB - 2 MB, Poisson {rate:.0f}/s", spread),
    ]


def _from(bodies: Sequence[bytes], seed: int) -> Callable[[], bytes]:
    source = random.Random(seed)
    return lambda: unique(source.choice(bodies))


def _table(measured: Sequence[Measured]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("load")
    for heading in ("pictures", "per second", "p50 ms", "p95 ms", "p99 ms", "max ms", "not looked at"):
        table.add_column(heading, justify="right")
    for each in measured:
        of = Latencies(each.result.latencies_s or [load.CLIENT_TIMEOUT_S])
        times = (f"{of.percentile_ms(share):.1f}" for share in (0.5, 0.95, 0.99, 1.0))
        table.add_row(each.name, str(of.count), f"{each.result.answers_per_s:.0f}", *times, str(each.result.failures))
    return table


def _verdict(measured: Sequence[Measured]) -> int:
    p99_s, name = max((_p99_s(each.result), each.name) for each in measured)
    failures = sum(each.result.failures for each in measured)
    under = "under" if p99_s < WALL_S else "OVER"
    console.print(f"p99 is {under} the {WALL_S:.0f} s wall: {p99_s:.3f} s at worst ({name}); {failures} failures")
    return 0 if p99_s < WALL_S and not failures else 1


def _p99_s(result: load.Load) -> float:
    return Latencies(result.latencies_s or [load.CLIENT_TIMEOUT_S]).percentile_ms(0.99) / 1e3


if __name__ == "__main__":
    typer.run(bench)
