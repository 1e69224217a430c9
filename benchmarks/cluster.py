"""What more nodes bring. Starts its own nodes.

The model is one of a fixed cost (``fake:400ms``): a pass takes that long and no processor, so that the nodes can stand
on one machine, each a real ``ray start`` with a scorer, a preprocessor and an ingress replica of its own. What a model
costs is measured elsewhere, and what a killed node does by ``faults``.
"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks import load
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import load_table, validity
from benchmarks.command import Out, Run, Seed, console, require_goodput
from benchmarks.load import Target
from benchmarks.outcomes import Load
from benchmarks.record import at_least, at_most, table
from benchmarks.served import Replicas, served

LEAST_SCALING = 3.4
_SIZES = [1, 2, 4]
_LARGEST_BATCH = 4

_BATCHES_WAITING = 4
"""Batches' worth of connections per scorer: one is computed, one waits, and two are on their way or unevenly spread."""


def bench(
    model: Annotated[str, typer.Option(help="A fake one; its name has the milliseconds of a pass.")] = "fake:400ms",
    nodes: Annotated[list[int], typer.Option(min=1, help="Sizes of the cluster; repeatable.")] = _SIZES,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of the load at each size.")] = 15.0,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if four nodes do not do enough more than one, or a request failed."""
    run = Run("cluster", seed, out)
    make_body = pictures_of(Size.KB_20, seed)
    saturated: dict[int, Load] = {}
    with served(model, _LARGEST_BATCH) as (cluster, service):
        for count in sorted(nodes):
            cluster.add(count - len(cluster.alive))
            service.deploy(Replicas(count, per_node=1))
            connections = count * _LARGEST_BATCH * _BATCHES_WAITING
            console.print(f"{count} nodes, {connections} connections")
            of = load.saturate(Target(service.url, make_body), connections, duration_s, f"{count} nodes")
            saturated[count] = require_goodput(of)
    loads = list(saturated.values())
    scaling = {count: of.goodput_per_s / loads[0].goodput_per_s for count, of in saturated.items()}
    checks = [at_most("requests that failed while all nodes were there", sum(of.failed for of in loads), 0)]
    if {1, 4} <= set(saturated):
        checks.append(at_least("scaling, 1 to 4 nodes", scaling[4], LEAST_SCALING, "x", 2))
    tables = [
        load_table(f"Nodes of this machine, {model}", loads),
        table("Scaling", {"nodes": 0, "times the rate of the fewest": 2}, scaling.items()),
    ]
    run.finish("Cluster", tables, [*checks, *validity(loads)])
