"""``make bench-baseline ARGS="--baseline URL"``: another validation endpoint under the same load as ours, side by side.

Any endpoint that pict-rs could be pointed at: it is sent what pict-rs sends (POST, raw bytes, chunked), the same
pictures from the same seed at the same moments. The open loop's rate is half of what the *slower* of the two got
through with 16 connections, so that both are asked for what both can do. They are never loaded at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.outcomes import latencies, statuses
from benchmarks.pictures import Pictures, Size
from benchmarks.plots import Mark, latency_distribution
from benchmarks.report import Cell, Column, Section, Table
from benchmarks.run import Run
from benchmarks.tables import WALL_S, Measured, validity
from benchmarks.target import (
    OUT,
    Anywhere,
    Out,
    Seed,
    Url,
    require_permission,
    scan_target,
    shown_url,
)

CONNECTIONS = 16
OURS, THEIRS = "Pictwarden", "baseline"

console = Console(highlight=False)

Rows = list[tuple[str, Mapping[str, load.Load]]]
"""The name of a load, and what came of it by service."""


def bench(
    baseline: Annotated[str, typer.Option(help="The URL that pict-rs would be given.", show_default=False)],
    url: Url = None,
    size: Annotated[Size, typer.Option(help="Of the pictures.")] = Size.MIX,
    requests: Annotated[int, typer.Option(min=1, help="Pictures, one after another.")] = 50,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each of the other loads.")] = 20.0,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Pictures a second of the open loop.")] = None,
    seed: Seed = 1,
    out: Out = OUT,
    anywhere: Anywhere = False,
) -> None:
    """Measure both; exit code 1 if the generator did not keep up: nobody wins or loses by a check."""
    ours = scan_target(url, anywhere, console)
    require_permission(baseline, anywhere, console)
    run = Run("baseline", ours, seed, console)
    rows = asyncio.run(_measure({OURS: ours, THEIRS: baseline}, size, requests, duration_s, rate, seed))
    wall = Mark(WALL_S * 1e3, f"the wall, {WALL_S:.0f} s")
    sections = [
        Section(
            f"{OURS} and {shown_url(baseline)}",
            "The same pictures at the same moments. A 2xx keeps a picture, whether or not it was looked at; what the "
            "baseline did with one cannot be seen from here.",
            _table(rows),
            tuple(
                latency_distribution(
                    name, {service: latencies(each.outcomes) for service, each in by_service.items()}, [wall]
                )
                for name, by_service in rows
            ),
        )
    ]
    measured = [Measured(f"{service}, {name}", each) for name, by in rows for service, each in by.items()]
    run.finish("Beside a baseline", sections, validity(measured), out)


async def _measure(
    urls: Mapping[str, str], size: Size, requests: int, duration_s: float, rate: float | None, seed: int
) -> Rows:
    with console.status("making pictures") as status:
        drawn = Pictures(size, seed)
        single, busy, spread = {}, {}, {}
        for service, url in urls.items():
            status.update(f"{service}: one after another")
            single[service] = await load.one_after_another(url, drawn.bodies(), requests)
            status.update(f"{service}: {CONNECTIONS} connections")
            busy[service] = await load.at_once(url, drawn.bodies(), CONNECTIONS, duration_s)
        rate = rate or min(each.offered_per_s for each in busy.values()) / 2
        for service, url in urls.items():
            status.update(f"{service}: open loop, {rate:.1f} a second")
            arrivals = poisson_arrivals_s(rate, duration_s, seed)
            spread[service] = await load.open_loop(url, drawn.bodies(), arrivals)
    return [
        ("one after another", single),
        (f"{CONNECTIONS} connections", busy),
        (f"Poisson {rate:.1f}/s", spread),
    ]


def _table(rows: Rows) -> Table:
    columns = (
        Column("load"),
        Column("service"),
        Column("answers/s", 1),
        Column("p50 ms", 1),
        Column("p95 ms", 1),
        Column("p99 ms", 1),
        Column("max ms", 1),
        Column("answers"),
    )
    return Table(columns, tuple(_row(name, service, each) for name, by in rows for service, each in by.items()))


def _row(name: str, service: str, of: load.Load) -> tuple[Cell, ...]:
    told = latencies(of.outcomes)
    percentiles = (told.told_percentile_ms(share) for share in (0.5, 0.95, 0.99, 1))
    return (name, service, told.count / of.elapsed_s, *percentiles, statuses(of.outcomes))


if __name__ == "__main__":
    typer.run(bench)
