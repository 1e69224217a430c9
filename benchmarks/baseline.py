"""Another validation endpoint under the same load as ours, side by side (`--baseline URL`).

Any endpoint that pict-rs could be pointed at: it is sent what pict-rs sends (POST, raw bytes, chunked), the same
pictures from the same seed at the same moments. The open loop's rate is half of what the *slower* of the two got
through with 16 connections, so that both are asked for what both can do. They are never loaded at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

import typer

from benchmarks import load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.bodies import Pictures, Size
from benchmarks.checks import Measured, latency_plot, validity
from benchmarks.command import OUT, Anywhere, Out, Run, Seed, Url, console, require_permission, scan_target, shown_url
from benchmarks.outcomes import Load, latencies, statuses
from benchmarks.report import Cell, Column, Section, Table

CONNECTIONS = 16
OURS, THEIRS = "Pictwarden", "baseline"

_COLUMNS = (
    Column("load"),
    Column("service"),
    Column("answers/s", 1),
    *(Column(heading, 1) for heading in ("p50 ms", "p95 ms", "p99 ms", "max ms")),
    Column("answers"),
)


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
    ours = scan_target(url, anywhere)
    require_permission(baseline, anywhere)
    run = Run("baseline", seed, ours)
    loads = asyncio.run(_measure({OURS: ours, THEIRS: baseline}, size, requests, duration_s, rate, seed))
    rows = [_row(name, service, each) for name, by_service in loads.items() for service, each in by_service.items()]
    plots = [latency_plot(name, [Measured(*each) for each in by_service.items()]) for name, by_service in loads.items()]
    note = (
        "The same pictures at the same moments. A 2xx keeps a picture, whether or not it was scanned; what the "
        "baseline did with one cannot be seen from here."
    )
    section = Section(f"{OURS} and {shown_url(baseline)}", note, Table(_COLUMNS, tuple(rows)), tuple(plots))
    measured = [Measured(f"{service}, {name}", each) for name, by in loads.items() for service, each in by.items()]
    run.finish("Beside a baseline", [section], validity(measured), out)


async def _measure(
    urls: Mapping[str, str], size: Size, requests: int, duration_s: float, rate: float | None, seed: int
) -> dict[str, dict[str, Load]]:
    """What came of each load, by service."""
    single: dict[str, Load] = {}
    busy: dict[str, Load] = {}
    spread: dict[str, Load] = {}
    with console.status("making pictures") as status:
        drawn = Pictures(size, seed)
        for service, url in urls.items():
            status.update(f"{service}: one after another")
            single[service] = await load.one_after_another(url, drawn.bodies(), requests)
            status.update(f"{service}: {CONNECTIONS} connections")
            busy[service] = await load.at_once(url, drawn.bodies(), CONNECTIONS, duration_s)
        rate = rate or min(each.offered_per_s for each in busy.values()) / 2
        for service, url in urls.items():
            status.update(f"{service}: open loop, {rate:.1f} a second")
            spread[service] = await load.open_loop(url, drawn.bodies(), poisson_arrivals_s(rate, duration_s, seed))
    return {"one after another": single, f"{CONNECTIONS} connections": busy, f"Poisson {rate:.1f}/s": spread}


def _row(name: str, service: str, of: Load) -> tuple[Cell, ...]:
    told = latencies(of.outcomes)
    percentiles = (told.told_percentile_ms(share) for share in (0.5, 0.95, 0.99, 1))
    return (name, service, told.count / of.elapsed_s, *percentiles, statuses(of.outcomes))
