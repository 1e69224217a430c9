"""Who notices a replica, a decode worker or a node that dies, or a node that is drained. Starts its own service.

One Ray node with two replicas of each deployment, and for the faults of whole nodes three of them. Under half of its
capacity, one after another: an ingress replica, a preprocessor, a decode worker and a scorer are killed (SIGKILL), then
a whole node; and a node is drained. A request has *failed* if it had no answer, or a 5xx.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import psutil
import typer

from benchmarks import load
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import validity
from benchmarks.command import Only, Out, Run, Seed, chosen, console, require_goodput
from benchmarks.load import Target
from benchmarks.nodes import Nodes
from benchmarks.recovery import Struck, recovery_checks, recovery_table
from benchmarks.served import DEPLOYMENTS, Replicas, Service, served, wait_until

_REPLICAS = Replicas(2)

# On different nodes, so that none takes both with it; and there is a node without, for the successor.
_REPLICAS_OF_NODES = Replicas(2, per_node=1)

_LOAD_SHARE = 0.5
_SATURATED_S = 8.0
_BEFORE_S = 8.0
_AFTER_S = 22.0
_AFTER_NODE_S = 52.0
_WHOLE_TIMEOUT_S = 90.0

# Longer than moving the replicas takes: as a cloud gives a machine that it takes back.
_DRAIN_DEADLINE_S = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to what.

    Attributes:
        told: in words.
        strike: does it, and returns the processes that are gone once it is over.
        victims: processes of which as many must be there afterwards as before, beside the replicas.
        nodes: on which it is made.
    """

    told: str
    strike: Callable[[Nodes], list[psutil.Process]]
    victims: Callable[[Nodes], list[psutil.Process]] | None = None
    nodes: int = 1


def _killing(told: str, victims: Callable[[Nodes], list[psutil.Process]]) -> Fault:
    """The death of one of ``victims``."""

    def kill(cluster: Nodes) -> list[psutil.Process]:
        victim = victims(cluster)[0]
        victim.kill()
        return [victim]

    return Fault(told, kill, victims)


def _decode_workers(cluster: Nodes) -> list[psutil.Process]:
    return [worker for replica in cluster.replicas("Preprocessor") for worker in replica.children()]


def _kill_node(cluster: Nodes) -> list[psutil.Process]:
    victim = cluster.busiest_worker()
    processes = victim.processes()
    victim.kill()
    return processes


def _drain_node(cluster: Nodes) -> list[psutil.Process]:
    victim = cluster.busiest_worker()
    leaving = victim.replicas("")
    cluster.drain(victim, _DRAIN_DEADLINE_S)
    return leaving


KILLED_INGRESS = _killing("an ingress replica is killed", lambda cluster: cluster.replicas("Ingress"))

# Those of nodes come last: all others are made on one node.
FAULTS: Mapping[str, Fault] = {
    "ingress": KILLED_INGRESS,
    "preprocessor": _killing("a preprocessor is killed", lambda cluster: cluster.replicas("Preprocessor")),
    "decode-worker": _killing("a decode worker is killed", _decode_workers),
    "scorer": _killing("a scorer is killed", lambda cluster: cluster.replicas("ClipScorer")),
    "node": Fault("a node of three is killed", _kill_node, nodes=3),
    "drain": Fault("a node of three is drained", _drain_node, nodes=3),
}


def bench(
    model: Annotated[str, typer.Option(help="A fake one; its name has the milliseconds of a pass.")] = "fake:200ms",
    largest_batch: Annotated[int, typer.Option(min=1, help="Views in one pass at most.")] = 4,
    only: Only = None,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if a request failed, was late or doubled, or the full rate did not come back."""
    faults = [FAULTS[name] for name in chosen(FAULTS, only)]
    run = Run("faults", seed, out)
    make_body = pictures_of(Size.KB_200, seed)
    struck: list[Struck] = []
    console.print("starting a node with the service")
    with served(model, largest_batch) as (cluster, service):
        service.deploy(_REPLICAS)
        target = Target(service.url, make_body)
        saturated = load.saturate(target, load.FEWEST_CONNECTIONS, _SATURATED_S)
        rate_per_s = _LOAD_SHARE * require_goodput(saturated).goodput_per_s
        console.print(f"the load is {rate_per_s:.1f} pictures/s, {_LOAD_SHARE:.0%} of capacity")
        for fault in faults:
            if fault.nodes > 1:
                cluster.add(fault.nodes - len(cluster.alive))
                service.deploy(_REPLICAS_OF_NODES)
            duration_s = _BEFORE_S + (_AFTER_NODE_S if fault.nodes > 1 else _AFTER_S)
            arrivals_s = load.poisson_arrivals_s(rate_per_s, duration_s, seed)
            struck.append(strike(cluster, service, fault, target, arrivals_s))
    checks = [*recovery_checks(struck), *validity([each.load for each in struck])]
    run.finish("Faults", [recovery_table("Faults under load", struck)], checks)


def strike(cluster: Nodes, service: Service, fault: Fault, target: Target, arrivals_s: Sequence[float]) -> Struck:
    """The load, with the fault in it."""

    def counts() -> list[int]:
        victims = fault.victims(cluster) if fault.victims else []
        return [len(victims), *(len(cluster.replicas(deployment)) for deployment in DEPLOYMENTS)]

    def recovers() -> bool:
        gone = fault.strike(cluster)
        return wait_until(
            lambda: not any(each.is_running() for each in gone) and counts() == wanted and service.is_whole(),
            _WHOLE_TIMEOUT_S,
        )

    wanted = counts()
    console.print(fault.told)
    return under_load(fault.told, target, arrivals_s, recovers)


def under_load(fault: str, target: Target, arrivals_s: Sequence[float], strikes: Callable[[], bool]) -> Struck:
    """A load, some seconds after whose beginning ``strikes`` does its work and returns whether all is as before."""
    with ThreadPoolExecutor(1) as sender:
        loading = sender.submit(load.open_loop, target, arrivals_s, fault)
        time.sleep(_BEFORE_S)
        struck_s = time.perf_counter()
        is_whole = strikes()
        whole_after_s = time.perf_counter() - struck_s if is_whole else None
        of = loading.result()
    return Struck(of, struck_s - of.started_s, whole_after_s)
