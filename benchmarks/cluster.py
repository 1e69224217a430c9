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
from benchmarks.command import Out, Run, Seed, console, require_goodput
from benchmarks.outcomes import Load, latencies
from benchmarks.record import Check, Column, Table, at_least, at_most
from benchmarks.served import Replicas, served

LEAST_SCALING = 3.4
_SCALED_NODES = 4

_BATCHES_WAITING = 4
"""Batches' worth of connections per scorer: one is computed, one waits, and two are on their way or unevenly spread."""

_COLUMNS = (
    Column("nodes"),
    Column("pictures/s", 1),
    Column("times the rate of the fewest", 2),
    *map(Column, ("p50 ms", "p99 ms", "failed")),
)


def bench(
    size: Annotated[Size, typer.Option(help="Of the pictures.")] = Size.KB_20,
    model: Annotated[str, typer.Option(help="A fake one; its name has the milliseconds of a pass.")] = "fake:400ms",
    largest_batch: Annotated[int, typer.Option(min=1, help="Views in one pass at most.")] = 4,
    nodes: Annotated[list[int] | None, typer.Option(min=1, help="Sizes of the cluster; 1, 2 and 4.")] = None,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of the load at each size.")] = 15.0,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if the nodes do not add up, or a request failed."""
    run = Run("cluster", seed, out)
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
    fewest_per_s = saturated[min(saturated)].goodput_per_s
    rows = tuple(
        (
            *(str(count), of.goodput_per_s, of.goodput_per_s / fewest_per_s),
            *(latencies(of.outcomes).told_percentile_ms(share) for share in (0.5, 0.99)),
            sum(outcome.is_failed for outcome in of.outcomes),
        )
        for count, of in saturated.items()
    )
    checks = [
        *scaling_checks(saturated),
        *validity([Measured(f"{count} nodes", of) for count, of in saturated.items()]),
    ]
    run.finish("Cluster", [Table(f"Nodes of this machine, {model}", _COLUMNS, rows)], checks)


def scaling_checks(saturated: Mapping[int, Load]) -> list[Check]:
    """That nothing failed, and of four nodes that they do enough more than one."""
    failed = sum(outcome.is_failed for of in saturated.values() for outcome in of.outcomes)
    checks = [at_most("requests that failed while all nodes were there", failed, 0)]
    if {1, _SCALED_NODES} <= set(saturated):
        scaling = saturated[_SCALED_NODES].goodput_per_s / saturated[1].goodput_per_s
        checks.append(at_least(f"scaling, 1 to {_SCALED_NODES} nodes", scaling, LEAST_SCALING, "x", 2))
    return checks
