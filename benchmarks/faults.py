"""Who notices a replica, a decode worker or a node that dies, or a node that is drained. Starts its own service.

One Ray node with two replicas of each deployment, and for the faults of whole nodes three of them. Under half of its
capacity, one after another: an ingress replica, a preprocessor, a decode worker and a scorer are killed (SIGKILL), then
a whole node; and a node is drained. A request has *failed* if it had no answer, or a 5xx.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated

import psutil
import typer

from benchmarks import load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.bodies import MakeBody, Pictures, Size
from benchmarks.checks import Measured, validity
from benchmarks.command import Out, Run, Seed, console, require_goodput
from benchmarks.nodes import Nodes, drain
from benchmarks.recovery import Struck, recovery_checks, recovery_table
from benchmarks.served import DEPLOYMENTS, Replicas, Service, served, wait_until

_NODES = 3
_REPLICAS = Replicas(2)

# On different nodes, so that none takes both with it; and there is a node without, for the successor.
_REPLICAS_OF_NODES = Replicas(2, per_node=1)

_WHOLE_TIMEOUT_S = 90.0

# Longer than moving the replicas takes: as a cloud gives a machine that it takes back.
_DRAIN_DEADLINE_S = 60

Processes = Sequence[psutil.Process]


class Kind(StrEnum):
    """What happens to what."""

    INGRESS = "ingress"
    PREPROCESSOR = "preprocessor"
    DECODE_WORKER = "decode-worker"
    SCORER = "scorer"
    NODE = "node"
    DRAIN = "drain"

    @property
    def is_of_nodes(self) -> bool:
        """Whether it is made on three nodes, and not on one."""
        return self in {Kind.NODE, Kind.DRAIN}


_TOLD = {Kind.NODE: "a node of three is killed", Kind.DRAIN: "a node of three is drained"}


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
    out: Out = None,
) -> None:
    """Measure; exit code 1 if a request failed, was late or doubled, or the full rate did not come back."""
    run = Run("faults", seed, out)
    make_body = Pictures(size, seed).bodies()
    struck: list[Struck] = []
    console.print("starting a node with the service")
    with served(model, largest_batch) as (cluster, service):
        service.deploy(_REPLICAS)
        saturated = asyncio.run(load.saturate(service.url, make_body, load.FEWEST_CONNECTIONS, 8.0))
        require_goodput(saturated.goodput_per_s, saturated.outcomes)
        rate_per_s = share * saturated.goodput_per_s
        console.print(f"the load is {rate_per_s:.1f} pictures/s, {share:.0%} of capacity")
        # Those of nodes come last: they are made on three nodes, and all others on one.
        for kind in (each for each in Kind if each in (only or list(Kind))):
            console.print(_told(kind))
            if kind.is_of_nodes:
                cluster.add(_NODES - len(cluster.alive))
                service.deploy(_REPLICAS_OF_NODES)
            duration_s = before_s + (after_node_s if kind.is_of_nodes else after_s)
            arrivals_s = poisson_arrivals_s(rate_per_s, duration_s, seed)
            struck.append(asyncio.run(strike(cluster, service, kind, make_body, arrivals_s, before_s)))
    checks = [*recovery_checks(struck), *validity([Measured(each.fault, each.load) for each in struck])]
    run.finish("Faults", [recovery_table(struck)], checks)


async def strike(
    cluster: Nodes, service: Service, kind: Kind, make_body: MakeBody, arrivals_s: Sequence[float], before_s: float
) -> Struck:
    """The load, with the fault in it ``before_s`` seconds after its beginning."""
    victims = _VICTIMS.get(kind)
    wanted = [len(victims(cluster)) if victims else 0, *_counts(cluster)]
    loading = asyncio.create_task(load.open_loop(service.url, make_body, arrivals_s))
    await asyncio.sleep(before_s)
    struck_s = time.perf_counter()
    gone = await asyncio.to_thread(_STRIKES[kind], cluster)

    def is_as_before() -> bool:
        now = [len(victims(cluster)) if victims else 0, *_counts(cluster)]
        return not any(each.is_running() for each in gone) and now == wanted and service.is_whole()

    is_whole = await asyncio.to_thread(wait_until, is_as_before, _WHOLE_TIMEOUT_S)
    whole_after_s = time.perf_counter() - struck_s if is_whole else None
    measured = await loading
    return Struck(_told(kind), measured, struck_s - measured.started_s, whole_after_s)


def _told(kind: Kind) -> str:
    return _TOLD.get(kind, f"a {kind.replace('-', ' ')} is killed")


def _counts(cluster: Nodes) -> list[int]:
    return [len(cluster.replicas(deployment)) for deployment in DEPLOYMENTS]


def _decode_workers(cluster: Nodes) -> list[psutil.Process]:
    return [worker for replica in cluster.replicas("Preprocessor") for worker in replica.children()]


_VICTIMS: dict[Kind, Callable[[Nodes], list[psutil.Process]]] = {
    Kind.INGRESS: lambda cluster: cluster.replicas("Ingress"),
    Kind.PREPROCESSOR: lambda cluster: cluster.replicas("Preprocessor"),
    Kind.DECODE_WORKER: _decode_workers,
    Kind.SCORER: lambda cluster: cluster.replicas("ClipScorer"),
}


def _kill_one(kind: Kind) -> Callable[[Nodes], Processes]:
    def kill(cluster: Nodes) -> Processes:
        victim = _VICTIMS[kind](cluster)[0]
        victim.kill()
        return [victim]

    return kill


def _kill_node(cluster: Nodes) -> Processes:
    # The head is what no cluster of Ray survives without further measures.
    victim = max(cluster.alive[1:], key=lambda node: len(node.replicas("")))
    processes = victim.processes()
    victim.kill()
    return processes


def _drain_node(cluster: Nodes) -> Processes:
    victim = max(cluster.alive[1:], key=lambda node: len(node.replicas("")))
    leaving = victim.replicas("")
    drain(cluster, victim, _DRAIN_DEADLINE_S)
    return leaving


_STRIKES = {**{kind: _kill_one(kind) for kind in _VICTIMS}, Kind.NODE: _kill_node, Kind.DRAIN: _drain_node}
