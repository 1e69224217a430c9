"""Ray nodes of our own on this machine, each a real ``ray start``: started, killed by process id, ended.

Each node has an address of its own in 127.0.0.0/8, so that two nodes never want the same port, and its own raylet,
object store and workers. Nothing here imports ray before :func:`environment` is this process's.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.processes import end_trees, kill_tree, replicas, title_of, tree
from benchmarks.servers import REPOSITORY
from deployments.ray_environment import (
    FAST_SETTINGS,
    LOCAL_SETTINGS,
    REPLICATED_INGRESS_SETTINGS,
    free_ports,
    fresh_token_settings,
    own_port_settings,
)

_CPUS_PER_NODE = 4
"""Logical ones: room for every replica that a node is given, so that cores are no reason where one is placed."""

_OBJECT_STORE_BYTES = 80_000_000
"""Bodies and views travel by value; the store holds next to nothing, and Ray accepts no less than 75 MB."""

_HEAD_ADDRESS = "127.0.0.2"
"""Not 127.0.0.1: Ray takes that for the machine's outer address."""

_RAY = (sys.executable, "-m", "ray.scripts.scripts")
_STARTED = "Ray runtime started"
_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 15.0
_POLL_S = 0.1


class NodeError(RuntimeError):
    """A node did not start; the message has the end of what it said."""


def environment() -> dict[str, str]:
    """What all nodes and the process that drives them have in their environment, new ports and a new token among it."""
    return {
        **FAST_SETTINGS,
        **REPLICATED_INGRESS_SETTINGS,
        **LOCAL_SETTINGS,
        **fresh_token_settings(),
        **own_port_settings(),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",  # the output of a node is read while it runs
    }


@dataclass(frozen=True, slots=True)
class Node:
    """One ``ray start --block``, of which all of the node's processes descend."""

    address: str
    process: psutil.Popen
    output: Path

    def processes(self) -> list[psutil.Process]:
        """The node's processes that are there now, ancestors first."""
        return tree(self.process)

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The node's replicas of a deployment."""
        return replicas(deployment, self.processes())

    def kill(self) -> None:
        """SIGKILL to everything on the node, as when a machine's power fails (but its sockets are closed)."""
        kill_tree(self.process)
        self.process.wait()


class Nodes:
    """A cluster of nodes on this machine, the head first."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet. ``folder`` is for the nodes' files, and has a short path."""
        gcs_port, client_port = free_ports(2)
        self.address = f"{_HEAD_ADDRESS}:{gcs_port}"
        """Where a driver connects to."""
        self._folder = folder
        self._of_head = [
            *("--head", f"--port={gcs_port}", "--include-dashboard=false", "--disable-usage-stats"),
            f"--ray-client-server-port={client_port}",  # it cannot be left out, and its default is one for all
        ]
        # As it is now: connecting to a cluster may add what is the driver's own.
        self._variables = dict(os.environ)
        self._all: list[Node] = []

    @property
    def alive(self) -> list[Node]:
        """The nodes that have not been killed, the head first."""
        return [each for each in self._all if each.process.poll() is None]

    def add(self, count: int) -> None:
        """Start as many nodes, at once.

        Raises:
            NodeError: one did not come up.
        """
        added = [self._start() for _ in range(count)]
        give_up_s = time.monotonic() + _START_TIMEOUT_S
        for node in added:
            while _STARTED not in (said := node.output.read_text("utf-8", errors="replace")):
                if node.process.poll() is not None or time.monotonic() > give_up_s:
                    raise NodeError(f"the node {node.address} did not start:\n{said[-2000:]}")
                time.sleep(_POLL_S)

    def end(self) -> None:
        """End the workers, then the head."""
        end_trees([node.process for node in self.alive], _STOP_TIMEOUT_S)
        for node in self._all:
            node.process.wait()

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The replicas of a deployment on all nodes."""
        return [replica for node in self.alive for replica in node.replicas(deployment)]

    def front_ends(self) -> list[psutil.Process]:
        """The HAProxy processes: one, and for a while after a change of the ingress replicas the one before it."""
        processes = [each for node in self.alive for each in node.processes()]
        return [each for each in processes if title_of(each).partition(" ")[0].endswith("haproxy")]

    def busiest_worker(self) -> Node:
        """The node with most replicas, but the head, which no cluster of Ray survives without further measures."""
        return max(self.alive[1:], key=lambda node: len(node.replicas("")))

    def drain(self, node: Node, deadline_s: int) -> None:
        """Have Serve move a node's replicas to others; the node itself goes on until somebody ends it."""
        import ray

        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        node_id = next(each["NodeID"] for each in nodes if each["NodeManagerAddress"] == node.address)
        command = [
            *(*_RAY, "drain-node", f"--address={self.address}", f"--node-id={node_id}"),
            *("--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=benchmark"),
            f"--deadline-remaining-seconds={deadline_s}",
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=deadline_s)

    def _start(self) -> Node:
        number = len(self._all)
        address, output = f"127.0.0.{2 + number}", self._folder / f"node-{number}.txt"
        command = [
            *(*_RAY, "start", "--block", f"--node-ip-address={address}"),
            *(f"--num-cpus={_CPUS_PER_NODE}", f"--object-store-memory={_OBJECT_STORE_BYTES}"),
            # In one folder, two nodes that start at once want the same socket, and one of them fails after half a
            # minute. Its path is short, because a socket's name has at most 107 bytes.
            f"--temp-dir={self._folder / str(number)}",
            # Any free port; the default range holds other programs' ports.
            *("--min-worker-port=0", "--max-worker-port=0"),
            *([f"--address={self.address}"] if number else self._of_head),
        ]
        with output.open("wb") as file:
            process = psutil.Popen(
                command,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us alone: Serve is to end before its nodes do
            )
        self._all.append(Node(address, process, output))
        return self._all[-1]


@contextlib.contextmanager
def running_nodes() -> Iterator[Nodes]:
    """A head that this process drives; it and all nodes that are added end with the block."""
    import ray

    from deployments.local_ray import shut_down

    with tempfile.TemporaryDirectory(prefix="pw-", ignore_cleanup_errors=True) as folder:
        nodes = Nodes(Path(folder))
        try:
            nodes.add(1)
            ray.init(
                nodes.address,
                namespace="serve",
                log_to_driver=False,
                logging_level=logging.WARNING,
                _node_ip_address=_HEAD_ADDRESS,
            )
            # Ray's own handler ends this process at once, and would leave all nodes behind.
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
            try:
                yield nodes
            finally:
                shut_down()  # Serve, so that no HAProxy outlives its node
        finally:
            nodes.end()
