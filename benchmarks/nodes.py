"""Ray nodes of our own on this machine, each a real ``ray start``: started, killed by process id, ended.

Each node has an address of its own in 127.0.0.0/8, so that two nodes never want the same port, and its own raylet,
object store and workers. Nothing here imports ray: the environment of :func:`environment` is to be set first.
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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from deployments.ray_environment import (
    FAST_SETTINGS,
    LOCAL_SETTINGS,
    REPLICATED_INGRESS_SETTINGS,
    free_ports,
    fresh_token_settings,
    own_port_settings,
)

OBJECT_STORE_BYTES = 80_000_000
"""Bodies and views travel by value; the store holds next to nothing, and Ray accepts no less than 75 MB."""

HEAD_ADDRESS = "127.0.0.2"
"""Not 127.0.0.1: Ray takes that for the machine's outer address."""

_STARTED = "Ray runtime started"
_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 15.0
_POLL_S = 0.1


class NodeError(RuntimeError):
    """A node did not start; the message has the end of what it said."""


def environment(base: Mapping[str, str], repository: Path) -> dict[str, str]:
    """What the processes of all nodes, and the process that drives them, have in their environment.

    Args:
        base: where it starts from, such as ``os.environ``.
        repository: the folder of the packages, for the processes that Ray starts.
    """
    return {
        **base,
        **FAST_SETTINGS,
        **REPLICATED_INGRESS_SETTINGS,
        **LOCAL_SETTINGS,
        **fresh_token_settings(),
        **own_port_settings(),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(repository), base.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",  # what a node says is read while it runs
    }


def worker_address(number: int) -> str:
    """The address of the ``number``-th node, of which 0 is the head."""
    return f"127.0.0.{2 + number}"


def head_command(gcs_port: int, client_port: int, temporary: Path, cpus: int) -> list[str]:
    """``ray start`` for the head.

    Args:
        gcs_port: where the other nodes find it.
        client_port: of the Ray client server, which cannot be left out, and whose default is one number for all.
        temporary: folder of logs and sockets; its path is short, because a socket's name has at most 107 bytes.
        cpus: logical ones.
    """
    return [
        *_common(HEAD_ADDRESS, temporary, cpus),
        "--head",
        f"--port={gcs_port}",
        f"--ray-client-server-port={client_port}",
        "--include-dashboard=false",
        "--disable-usage-stats",
    ]


def worker_command(number: int, head: str, temporary: Path, cpus: int) -> list[str]:
    """``ray start`` for the ``number``-th node, which joins ``head`` (an address and a port)."""
    return [*_common(worker_address(number), temporary, cpus), f"--address={head}"]


def _common(address: str, temporary: Path, cpus: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--block",
        f"--node-ip-address={address}",
        f"--num-cpus={cpus}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        # In one folder, two nodes that start at once want the same socket, and one of them fails after half a minute.
        f"--temp-dir={temporary}",
        # Any free port; the default range holds other programs' ports.
        "--min-worker-port=0",
        "--max-worker-port=0",
    ]


@dataclass(frozen=True, slots=True)
class Node:
    """One ``ray start --block``, of which all of the node's processes descend."""

    address: str
    process: subprocess.Popen[bytes]
    output: Path

    def processes(self) -> list[psutil.Process]:
        """The node's processes that are there now, ancestors first."""
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The node's replicas of a deployment, by the title that Ray gives their processes."""
        title = f"ray::ServeReplica:pictwarden:{deployment}"
        return [each for each in self.processes() if _title(each).startswith(title)]

    def kill(self) -> None:
        """SIGKILL to everything on the node, as when a machine's power fails (but its sockets are closed)."""
        # Ancestors first: nobody is left who would start a child anew.
        for each in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait()


class Nodes:
    """A cluster of nodes on this machine; a context manager that starts the head and ends everything."""

    def __init__(self, cpus_per_node: int, variables: Mapping[str, str]) -> None:
        """Nothing is started yet.

        Args:
            cpus_per_node: logical ones, so that a node holds as many replicas as are wanted.
            variables: of :func:`environment`.
        """
        self._cpus = cpus_per_node
        self._variables = dict(variables)
        self._gcs_port, self._client_port = free_ports(2)
        self._folder = tempfile.TemporaryDirectory(prefix="pw-", ignore_cleanup_errors=True)
        self._started = 0
        self._all: list[Node] = []

    @property
    def address(self) -> str:
        """Where a driver connects to."""
        return f"{HEAD_ADDRESS}:{self._gcs_port}"

    @property
    def alive(self) -> list[Node]:
        """The nodes that have not been killed, the head first."""
        return [each for each in self._all if each.process.poll() is None]

    def __enter__(self) -> Self:
        try:
            command = head_command(self._gcs_port, self._client_port, self._next_folder(), self._cpus)
            self._await([self._start(command)])
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def add(self, count: int) -> list[Node]:
        """Start as many worker nodes, at once.

        Raises:
            NodeError: one did not come up.
        """
        added = [
            self._start(worker_command(self._started, self.address, self._next_folder(), self._cpus))
            for _ in range(count)
        ]
        self._await(added)
        return added

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The replicas of a deployment on all nodes."""
        return [replica for node in self.alive for replica in node.replicas(deployment)]

    def front_ends(self) -> list[psutil.Process]:
        """The HAProxy processes: one, and for a while after a change of the ingress replicas the one before it."""
        return [each for node in self.alive for each in node.processes() if _program(each) == "haproxy"]

    def close(self) -> None:
        """End the workers, then the head; what does not end is killed. Serve is to be shut down before."""
        # Listed now: whoever loses its parent later is no descendant any more.
        processes = [each for node in self._all for each in node.processes()]
        for node in reversed(self._all):
            with contextlib.suppress(ProcessLookupError):
                node.process.terminate()
        _, left = psutil.wait_procs(processes, _STOP_TIMEOUT_S)
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(left, _STOP_TIMEOUT_S)
        for node in self._all:
            node.process.wait()
        self._folder.cleanup()

    def _next_folder(self) -> Path:
        return Path(self._folder.name) / str(self._started)

    def _start(self, command: Sequence[str]) -> Node:
        address = worker_address(self._started)
        output = Path(self._folder.name) / f"node-{self._started}.txt"
        self._started += 1
        with output.open("wb") as file:
            process = subprocess.Popen(
                command,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us alone: Serve is to end before its nodes do.
                start_new_session=True,
            )
        node = Node(address, process, output)
        self._all.append(node)
        return node

    def _await(self, nodes: Sequence[Node]) -> None:
        give_up_s = time.monotonic() + _START_TIMEOUT_S
        for node in nodes:
            while _STARTED not in (said := node.output.read_text("utf-8", errors="replace")):
                if node.process.poll() is not None or time.monotonic() > give_up_s:
                    raise NodeError(f"the node {node.address} did not start:\n{said[-2000:]}")
                time.sleep(_POLL_S)


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """A driver of the cluster at ``address``. Serve ends with the block, so that no HAProxy outlives its node."""
    import ray

    from deployments.local_ray import shut_down

    ray.init(
        address,
        namespace="serve",
        log_to_driver=False,
        logging_level=logging.WARNING,
        _node_ip_address=address.partition(":")[0],
    )
    # Ray's own handler ends this process at once, and would leave all nodes behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        shut_down()


def _program(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
