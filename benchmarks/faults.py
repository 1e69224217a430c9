"""``make bench-faults``: what an uploader notices of a part of the service that dies, or is taken away.

The benchmark starts the service itself: one Ray node with two replicas of each deployment, and for the faults of whole
nodes three of them. Under half of its capacity, one after another: an ingress replica, a preprocessor, a decode worker
and a scorer are killed (SIGKILL), then a whole node; and a node is drained. A request has *failed* if it had no answer,
or one that says that nobody looked (5xx).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console

from benchmarks import hardware, load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.load import MakeBody
from benchmarks.nodes import Node, Nodes
from benchmarks.output import finish
from benchmarks.pictures import Pictures, Size
from benchmarks.recovery import RECOVERY_NOTE, Struck, recovery_checks, recovery_sections, recovery_table
from benchmarks.report import Report, Section
from benchmarks.served import Replicas, Service, served, wait_until
from benchmarks.tables import HOW_TO_READ, Measured, steady_goodput_per_s, validity
from benchmarks.target import OUT, Out, Seed, command_line, require_goodput

_REPOSITORY = Path(__file__).parents[1]
_WHOLE_TIMEOUT_S = 90.0

# Of the two replicas of each deployment, so that one node of three has none of some: there the other's place is.
_REPLICAS = Replicas(2, 2, 2)
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


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to be done under load.

    Attributes:
        name: what it is, in words.
        strike: does it, and returns the processes that are to be gone when all is as before.
        is_replaced: whether what was lost has a successor; beside this, as many replicas run as before.
    """

    name: str
    strike: Callable[[], Sequence[psutil.Process]]
    is_replaced: Callable[[], bool]


def bench(
    size: Annotated[Size, typer.Option(help="Of the pictures.")] = Size.KB_200,
    model: Annotated[str, typer.Option(help="A fake one; its name has the milliseconds of a pass.")] = "fake:200ms",
    largest_batch: Annotated[int, typer.Option(min=1, help="Views in one pass at most.")] = 4,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Of capacity.")] = 0.5,
    before_s: Annotated[float, typer.Option(min=1, help="Seconds of load ahead of a fault.")] = 8.0,
    after_s: Annotated[float, typer.Option(min=1, help="Seconds of load behind the fault of a replica.")] = 22.0,
    after_node_s: Annotated[float, typer.Option(min=1, help="The same for the fault of a node.")] = 52.0,
    fault: Annotated[list[Kind] | None, typer.Option(help="Only this one; repeatable. By default all.")] = None,
    seed: Seed = 1,
    out: Out = OUT,
) -> None:
    """Measure; exit code 1 if a request failed, was late or doubled, or the full rate did not come back."""
    started_at, machine = datetime.now(UTC), hardware.facts()
    console.print(f"{hardware.describe()}; the load is made on the same cores; seed {seed}")
    make_body = Pictures(size, seed).bodies()
    kinds = fault or list(Kind)
    struck: list[Struck] = []
    console.print("starting a node with the service")
    with served(model, largest_batch, _REPOSITORY) as (cluster, service):
        service.deploy(_REPLICAS)
        rate_per_s = share * asyncio.run(_capacity_per_s(service.url, make_body))
        console.print(f"the load is {rate_per_s:.1f} pictures/s, {share:.0%} of capacity")
        for kind in [each for each in kinds if each not in _OF_NODES]:
            arrivals_s = poisson_arrivals_s(rate_per_s, before_s + after_s, seed)
            struck.append(asyncio.run(_strike(service, _FAULTS[kind](cluster), make_body, arrivals_s, before_s)))
        for kind in [each for each in kinds if each in _OF_NODES]:
            console.print("starting nodes, so that there are three")
            cluster.add(3 - len(cluster.alive))
            service.deploy(_REPLICAS_OF_NODES)
            arrivals_s = poisson_arrivals_s(rate_per_s, before_s + after_node_s, seed)
            struck.append(asyncio.run(_strike(service, _FAULTS[kind](cluster), make_body, arrivals_s, before_s)))
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


async def _strike(
    service: Service, fault: Fault, make_body: MakeBody, arrivals_s: Sequence[float], before_s: float
) -> Struck:
    """The load, with the fault in it."""
    console.print(fault.name)
    loading = asyncio.create_task(load.open_loop(service.url, make_body, arrivals_s))
    await asyncio.sleep(before_s)
    struck_s = time.perf_counter()
    gone = await asyncio.to_thread(fault.strike)

    def is_as_before() -> bool:
        return not any(each.is_running() for each in gone) and fault.is_replaced() and service.is_whole()

    whole_after_s = await asyncio.to_thread(wait_until, is_as_before, _WHOLE_TIMEOUT_S)
    measured = await loading
    return Struck(fault.name, measured, struck_s - measured.started_s, whole_after_s)


def _killed_replica(cluster: Nodes, deployment: str, name: str) -> Fault:
    wanted = len(cluster.replicas(deployment))

    def strike() -> list[psutil.Process]:
        victim = cluster.replicas(deployment)[0]
        victim.kill()
        return [victim]

    return Fault(name, strike, lambda: len(cluster.replicas(deployment)) == wanted)


def _killed_decode_worker(cluster: Nodes) -> Fault:
    def workers() -> list[psutil.Process]:
        return [worker for replica in cluster.replicas("Preprocessor") for worker in replica.children()]

    wanted = len(workers())

    def strike() -> list[psutil.Process]:
        victim = workers()[0]
        victim.kill()
        return [victim]

    return Fault("a decode worker is killed", strike, lambda: len(workers()) == wanted)


def _killed_node(cluster: Nodes) -> Fault:
    def strike() -> list[psutil.Process]:
        victim = _busiest(cluster)
        processes = victim.processes()
        victim.kill()
        return processes

    return Fault("a node of three is killed", strike, lambda: _has_all_replicas(cluster))


def _drained_node(cluster: Nodes) -> Fault:
    def strike() -> list[psutil.Process]:
        victim = _busiest(cluster)
        replicas = [each for name in _REPLICAS_OF_NODES.counts for each in victim.replicas(name)]
        drain_node(cluster, victim, deadline_s=60)
        return replicas

    return Fault("a node of three is drained", strike, lambda: _has_all_replicas(cluster))


_FAULTS: Mapping[Kind, Callable[[Nodes], Fault]] = {
    Kind.INGRESS: lambda cluster: _killed_replica(cluster, "Ingress", "an ingress replica is killed"),
    Kind.PREPROCESSOR: lambda cluster: _killed_replica(cluster, "Preprocessor", "a preprocessor is killed"),
    Kind.DECODE_WORKER: _killed_decode_worker,
    Kind.SCORER: lambda cluster: _killed_replica(cluster, "ClipScorer", "a scorer is killed"),
    Kind.NODE: _killed_node,
    Kind.DRAIN: _drained_node,
}


def _has_all_replicas(cluster: Nodes) -> bool:
    return all(len(cluster.replicas(name)) == count for name, count in _REPLICAS_OF_NODES.counts.items())


def drain_node(cluster: Nodes, node: Node, deadline_s: int) -> None:
    """Tell Ray that the node goes away in ``deadline_s``; Serve then moves its replicas, and nothing ends the node."""
    import ray

    node_id = next(
        each["NodeID"]
        for each in ray.nodes()  # type: ignore[no-untyped-call]
        if each["NodeManagerAddress"] == node.address
    )
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "drain-node", f"--address={cluster.address}"),
        *(f"--node-id={node_id}", "--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=benchmark"),
        f"--deadline-remaining-seconds={deadline_s}",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _busiest(cluster: Nodes) -> Node:
    """The worker node with the most replicas; the head is what no cluster of Ray survives without further measures."""
    _, *workers = cluster.alive
    return max(workers, key=lambda node: sum(len(node.replicas(name)) for name in _REPLICAS_OF_NODES.counts))


if __name__ == "__main__":
    typer.run(bench)
