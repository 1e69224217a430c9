"""What more nodes bring. Starts its own nodes.

The model is one of a fixed cost (``fake:400ms``): a pass takes that long and no processor, so that the nodes can stand
on one machine, each a real ``ray start`` with a scorer, a preprocessor and an ingress replica of its own. What a model
costs is measured elsewhere, and what a killed node does by ``faults``.
"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks import load
from benchmarks.bodies import Pictures, Size
from benchmarks.checks import validity
from benchmarks.command import Out, Run, Seed, console, require_goodput
from benchmarks.outcomes import Load, latencies_s, told_percentile_ms
from benchmarks.record import Column, Table, at_least, at_most
from benchmarks.served import Replicas, served

LEAST_SCALING = 3.4
_SIZES = [1, 2, 4]
_LARGEST_BATCH = 4

_BATCHES_WAITING = 4
"""Batches' worth of connections per scorer: one is computed, one waits, and two are on their way or unevenly spread."""

_COLUMNS = (
    Column("nodes"),
    Column("pictures/s", 1),
    Column("times the rate of the fewest", 2),
    *map(Column, ("p50 ms", "p99 ms", "failed")),
)


def bench(
    model: Annotated[str, typer.Option(help="A fake one; its name has the milliseconds of a pass.")] = "fake:400ms",
    nodes: Annotated[list[int], typer.Option(min=1, help="Sizes of the cluster; repeatable.")] = _SIZES,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of the load at each size.")] = 15.0,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if four nodes do not do enough more than one, or a request failed."""
    run = Run("cluster", seed, out)
    make_body = Pictures(Size.KB_20, seed).bodies()
    saturated: dict[int, Load] = {}
    with served(model, _LARGEST_BATCH) as (cluster, service):
        for count in sorted(nodes):
            cluster.add(count - len(cluster.alive))
            service.deploy(Replicas(count, per_node=1))
            connections = count * _LARGEST_BATCH * _BATCHES_WAITING
            console.print(f"{count} nodes, {connections} connections")
            of = load.saturate(service.url, make_body, connections, duration_s, f"{count} nodes")
            saturated[count] = require_goodput(of)
    scaling = {count: of.goodput_per_s / saturated[min(saturated)].goodput_per_s for count, of in saturated.items()}
    rows = tuple(
        (
            *(str(count), of.goodput_per_s, scaling[count]),
            *(told_percentile_ms(latencies_s(of.outcomes), share) for share in (0.5, 0.99)),
            of.failed,
        )
        for count, of in saturated.items()
    )
    failed = sum(of.failed for of in saturated.values())
    checks = [at_most("requests that failed while all nodes were there", failed, 0)]
    if {1, 4} <= set(saturated):
        checks.append(at_least("scaling, 1 to 4 nodes", scaling[4], LEAST_SCALING, "x", 2))
    checks += validity(list(saturated.values()))
    run.finish("Cluster", [Table(f"Nodes of this machine, {model}", _COLUMNS, rows)], checks)
