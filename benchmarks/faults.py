"""``make bench-faults``: what an uploader notices of a part of the service that dies, or is taken away.

The benchmark starts the service itself: one Ray node with two replicas of each deployment, and for the faults of whole
nodes three of them. Under half of its capacity, one after another: an ingress replica, a preprocessor, a decode worker
and a scorer are killed (SIGKILL), then a whole node; and a node is drained. A request has *failed* if it had no answer,
or one that says that nobody looked (5xx).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import hardware, load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.load import MakeBody
from benchmarks.nodes import Nodes
from benchmarks.output import finish
from benchmarks.pictures import Pictures, Size
from benchmarks.recovery import RECOVERY_NOTE, Struck, recovery_checks, recovery_sections, recovery_table
from benchmarks.report import Report, Section
from benchmarks.served import Replicas, served
from benchmarks.strike import Fault, drained_node, killed_decode_worker, killed_node, killed_replica, strike
from benchmarks.tables import HOW_TO_READ, Measured, steady_goodput_per_s, validity
from benchmarks.target import OUT, Out, Seed, command_line, require_goodput

_REPOSITORY = Path(__file__).parents[1]
_NODES = 3
_REPLICAS = Replicas(2, 2, 2)

# On different nodes, so that none takes both with it; and there is a node without, for the successor.
_REPLICAS_OF_NODES = Replicas(2, 2, 2, per_node=1)

console = Console(highlight=False)


class Kind(StrEnum):
    """What happens to what."""

    INGRESS = "ingress"
    PREPROCESSOR = "preprocessor"
    DECODE_WORKER = "decode-worker"
    SCORER = "scorer"
    NODE = "node"
    DRAIN = "drain"


_OF_NODES = (Kind.NODE, Kind.DRAIN)


def bench(
    size: Annotated[Size, typer.Option(help="Of the pictures.")] = Size.KB_200,
    model: Annotated[str, typer.Option(help="A fake one; its name has the milliseconds of a pass.")] = "fake:200ms",
    largest_batch: Annotated[int, typer.Option(min=1, help="Views in one pass at most.")] = 4,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Of capacity.")] = 0.5,
    before_s: Annotated[float, typer.Option(min=1, help="Seconds of load ahead of a fault.")] = 8.0,
    after_s: Annotated[float, typer.Option(min=1, help="Seconds of load behind the fault of a replica.")] = 22.0,
    after_node_s: Annotated[float, typer.Option(min=1, help="The same for the fault of a node.")] = 52.0,
    only: Annotated[list[Kind] | None, typer.Option(help="Only this fault; repeatable. By default all.")] = None,
    seed: Seed = 1,
    out: Out = OUT,
) -> None:
    """Measure; exit code 1 if a request failed, was late or doubled, or the full rate did not come back."""
    started_at, machine = datetime.now(UTC), hardware.facts()
    console.print(f"{hardware.describe()}; the load is made on the same cores; seed {seed}")
    make_body = Pictures(size, seed).bodies()
    # Those of nodes come last: they are made on three nodes, and all others on one.
    kinds = [each for each in Kind if each in (only or list(Kind))]
    struck: list[Struck] = []
    console.print("starting a node with the service")
    with served(model, largest_batch, _REPOSITORY) as (cluster, service):
        service.deploy(_REPLICAS)
        rate_per_s = share * asyncio.run(_capacity_per_s(service.url, make_body))
        console.print(f"the load is {rate_per_s:.1f} pictures/s, {share:.0%} of capacity")
        for kind in kinds:
            is_of_replica = kind not in _OF_NODES
            if not is_of_replica:
                cluster.add(_NODES - len(cluster.alive))
                service.deploy(_REPLICAS_OF_NODES)
            fault = _FAULTS[kind](cluster)
            console.print(fault.name)
            arrivals_s = poisson_arrivals_s(rate_per_s, before_s + (after_s if is_of_replica else after_node_s), seed)
            struck.append(asyncio.run(strike(service, fault, make_body, arrivals_s, before_s)))
    overview = Section("Faults under load", f"{HOW_TO_READ}\n{RECOVERY_NOTE}", recovery_table(struck))
    sections = [overview, *recovery_sections(struck)]
    checks = [check for each in struck for check in recovery_checks(each)]
    checks += validity([Measured(each.fault, each.load) for each in struck])
    report = Report("Faults", command_line("faults"), machine, seed, started_at, sections, checks)
    raise typer.Exit(finish(report, "faults", out, console))


async def _capacity_per_s(url: str, make_body: MakeBody) -> float:
    saturated = await load.saturate(url, make_body, connections=24, duration_s=8.0)
    capacity_per_s = steady_goodput_per_s(saturated)
    require_goodput(capacity_per_s, saturated.outcomes, console)
    return capacity_per_s


_FAULTS: Mapping[Kind, Callable[[Nodes], Fault]] = {
    Kind.INGRESS: lambda cluster: killed_replica(cluster, "Ingress", "an ingress replica is killed"),
    Kind.PREPROCESSOR: lambda cluster: killed_replica(cluster, "Preprocessor", "a preprocessor is killed"),
    Kind.DECODE_WORKER: killed_decode_worker,
    Kind.SCORER: lambda cluster: killed_replica(cluster, "ClipScorer", "a scorer is killed"),
    Kind.NODE: lambda cluster: killed_node(cluster, _REPLICAS_OF_NODES, "a node of three is killed"),
    Kind.DRAIN: lambda cluster: drained_node(cluster, _REPLICAS_OF_NODES, "a node of three is drained"),
}


if __name__ == "__main__":
    typer.run(bench)
