"""Something done to the service in the middle of a load, and waiting until all is as before."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from benchmarks import load
from benchmarks.load import MakeBody
from benchmarks.nodes import Node, Nodes
from benchmarks.recovery import Struck
from benchmarks.served import Replicas, Service, wait_until

_WHOLE_TIMEOUT_S = 90.0

# Longer than moving the replicas takes: what a cloud gives a machine that it takes back.
_DRAIN_DEADLINE_S = 60


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


async def strike(
    service: Service, fault: Fault, make_body: MakeBody, arrivals_s: Sequence[float], before_s: float
) -> Struck:
    """The load, with the fault in it ``before_s`` seconds after its beginning."""
    loading = asyncio.create_task(load.open_loop(service.url, make_body, arrivals_s))
    await asyncio.sleep(before_s)
    struck_s = time.perf_counter()
    gone = await asyncio.to_thread(fault.strike)

    def is_as_before() -> bool:
        return not any(each.is_running() for each in gone) and fault.is_replaced() and service.is_whole()

    is_whole = await asyncio.to_thread(wait_until, is_as_before, _WHOLE_TIMEOUT_S)
    whole_after_s = time.perf_counter() - struck_s if is_whole else None
    measured = await loading
    return Struck(fault.name, measured, struck_s - measured.started_s, whole_after_s)


def killed_replica(cluster: Nodes, deployment: str, name: str) -> Fault:
    """One replica of ``deployment`` is killed; ``name`` says so in words."""
    wanted = len(cluster.replicas(deployment))

    def kill() -> list[psutil.Process]:
        victim = cluster.replicas(deployment)[0]
        victim.kill()
        return [victim]

    return Fault(name, kill, lambda: len(cluster.replicas(deployment)) == wanted)


def killed_decode_worker(cluster: Nodes) -> Fault:
    """A process that decodes is killed; its preprocessor goes on."""

    def workers() -> list[psutil.Process]:
        return [worker for replica in cluster.replicas("Preprocessor") for worker in replica.children()]

    wanted = len(workers())

    def kill() -> list[psutil.Process]:
        victim = workers()[0]
        victim.kill()
        return [victim]

    return Fault("a decode worker is killed", kill, lambda: len(workers()) == wanted)


def killed_node(cluster: Nodes, replicas: Replicas, name: str, away_s: float | None = None) -> Fault:
    """The worker node with the most replicas is killed; another joins after ``away_s`` seconds, if that is given."""

    def kill() -> list[psutil.Process]:
        victim = _busiest(cluster, replicas)
        processes = victim.processes()
        victim.kill()
        if away_s is not None:
            time.sleep(away_s)
            cluster.add(1)
        return processes

    return Fault(name, kill, lambda: _are_there(cluster, replicas))


def drained_node(cluster: Nodes, replicas: Replicas, name: str) -> Fault:
    """The worker node with the most replicas is said to go away, as a cloud or an operator says it."""

    def drain() -> list[psutil.Process]:
        victim = _busiest(cluster, replicas)
        leaving = [each for deployment in replicas.counts for each in victim.replicas(deployment)]
        _drain(cluster, victim)
        return leaving

    return Fault(name, drain, lambda: _are_there(cluster, replicas))


def _drain(cluster: Nodes, node: Node) -> None:
    """Serve moves the node's replicas to others; the node itself goes on until somebody ends it."""
    import ray

    node_id = next(
        each["NodeID"]
        for each in ray.nodes()  # type: ignore[no-untyped-call]
        if each["NodeManagerAddress"] == node.address
    )
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "drain-node", f"--address={cluster.address}"),
        *(f"--node-id={node_id}", "--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=benchmark"),
        f"--deadline-remaining-seconds={_DRAIN_DEADLINE_S}",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=_DRAIN_DEADLINE_S)


def _are_there(cluster: Nodes, replicas: Replicas) -> bool:
    return all(len(cluster.replicas(deployment)) == count for deployment, count in replicas.counts.items())


def _busiest(cluster: Nodes, replicas: Replicas) -> Node:
    """The worker node with the most replicas; the head is what no cluster of Ray survives without further measures."""
    _, *workers = cluster.alive
    return max(workers, key=lambda node: sum(len(node.replicas(deployment)) for deployment in replicas.counts))
