"""What more nodes bring. Starts its own nodes.

The model is one of a fixed cost (``fake:400ms``): a pass takes that long and no processor, so that the nodes can stand
on one machine, each a real ``ray start`` with a scorer, a preprocessor and an ingress replica of its own. What a model
costs is measured elsewhere, and what a killed node does by ``faults``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

import typer

from benchmarks import load
from benchmarks.bodies import Pictures, Size
from benchmarks.checks import Measured, validity
from benchmarks.command import OUT, Out, Run, Seed, console, require_goodput
from benchmarks.outcomes import Load, latencies
from benchmarks.report import Check, Column, Plot, Section, Table, at_least, at_most
from benchmarks.served import Replicas, served

LEAST_SCALING = 3.4
_SCALED_NODES = 4

_BATCHES_WAITING = 4
"""Batches' worth of connections per scorer: one is computed, one waits, and two are on their way or unevenly spread."""

_NOTE = (
    "Connections that never rest, in proportion to the nodes, each of which has one replica of each deployment. A pass "
    "takes a fixed time and no processor; everything else takes processor time, which nodes on one machine share."
)
_COLUMNS = (
    Column("nodes"),
    Column("pictures/s", 1),
    Column("times the rate of the fewest", 2),
    *(Column(heading) for heading in ("p50 ms", "p99 ms", "failed")),
    Column("generator, cores", 2),
)


def bench(
    size: Annotated[Size, typer.Option(help="Of the pictures.")] = Size.KB_20,
    model: Annotated[str, typer.Option(help="A fake one; its name has the milliseconds of a pass.")] = "fake:400ms",
    largest_batch: Annotated[int, typer.Option(min=1, help="Views in one pass at most.")] = 4,
    nodes: Annotated[list[int] | None, typer.Option(min=1, help="Sizes of the cluster; 1, 2 and 4.")] = None,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of the load at each size.")] = 15.0,
    seed: Seed = 1,
    out: Out = OUT,
) -> None:
    """Measure; exit code 1 if the nodes do not add up, or a request failed."""
    run = Run("cluster", seed)
    make_body = Pictures(size, seed).bodies()
    saturated: dict[int, Load] = {}
    with served(model, largest_batch) as (cluster, service):
        for count in sorted(nodes or [1, 2, 4]):
            cluster.add(count - len(cluster.alive))
            service.deploy(Replicas(count, per_node=1))
            connections = count * largest_batch * _BATCHES_WAITING
            console.print(f"{count} nodes, {connections} connections")
            of = asyncio.run(load.saturate(service.url, make_body, connections, duration_s))
            require_goodput(of.goodput_per_s, of.outcomes)
            saturated[count] = of
    checks = [
        *scaling_checks(saturated),
        *validity([Measured(f"{count} nodes", of) for count, of in saturated.items()]),
    ]
    run.finish("Cluster", [_section(saturated)], checks, out)


def scaling_checks(saturated: Mapping[int, Load]) -> list[Check]:
    """That nothing failed, and of four nodes that they do enough more than one."""
    failed = sum(outcome.is_failed for of in saturated.values() for outcome in of.outcomes)
    checks = [at_most("requests that failed while all nodes were there", failed, 0)]
    if {1, _SCALED_NODES} <= set(saturated):
        scaling = saturated[_SCALED_NODES].goodput_per_s / saturated[1].goodput_per_s
        checks.append(at_least(f"scaling, 1 to {_SCALED_NODES} nodes", scaling, LEAST_SCALING, "x", 2))
    return checks


def _section(saturated: Mapping[int, Load]) -> Section:
    rates = {count: of.goodput_per_s for count, of in saturated.items()}
    fewest = min(rates)
    rows = tuple(
        (
            *(str(count), rates[count], rates[count] / rates[fewest]),
            *(latencies(of.outcomes).told_percentile_ms(share) for share in (0.5, 0.99)),
            *(sum(outcome.is_failed for outcome in of.outcomes), of.client_cores),
        )
        for count, of in saturated.items()
    )
    ideal = [(float(count), count / fewest * rates[fewest]) for count in rates]
    lines = {"measured": [(float(count), rate) for count, rate in rates.items()], "in proportion": ideal}
    plot = Plot("Rate by nodes", "nodes", "pictures a second", lines, {}, {})
    return Section("Scaling", _NOTE, Table(_COLUMNS, rows), (plot,))
