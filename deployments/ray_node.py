"""A node of Ray's that is to end: Serve first starts its replicas elsewhere."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serve_app.domain import last_words
from serve_app.host.own_processes import OwnProcess, own_processes

DRAIN_COMMAND: Final = (sys.executable, "-m", "ray.scripts.scripts", "drain-node")
"""Ray's own, which has no other name in Python."""

_POLL_S = 0.5
_REPLICA_TITLE = b"ray::ServeReplica:"


class NodeError(Exception):
    """A node's replicas cannot be moved."""


@dataclass(frozen=True, slots=True)
class RayNode:
    """A node of Ray's that runs on this machine.

    Attributes:
        pid: of its raylet, the parent of its replicas.
        node_id: in hexadecimal digits.
        head_address: HOST:PORT of the head.
    """

    pid: int
    node_id: str
    head_address: str


def worker_node(folder: Path) -> RayNode | None:
    """The node that was started with ``--temp-dir`` FOLDER. None: none runs, or it is the head, which has no other."""
    temporary = f"--temp_dir={folder}".encode()
    for process in own_processes():
        if temporary in process.arguments and b"--head" not in process.arguments:
            return RayNode(process.pid, _option(process, b"--node_id="), _option(process, b"--gcs-address="))
    return None


def move_replicas(node: RayNode, limit_s: float, drain_command: Sequence[str] = DRAIN_COMMAND) -> None:
    """Have Serve start a node's replicas elsewhere and end them here; returns when none is left here.

    Args:
        node: on this machine.
        limit_s: after that it returns anyway. By then Serve also ends replicas that it found no room for.
        drain_command: tells the head.

    Raises:
        NodeError: the head does not answer, or refuses.
    """
    give_up_s = time.monotonic() + limit_s
    options = (
        f"--address={node.head_address}",
        f"--node-id={node.node_id}",
        "--reason=DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message=the node is to end",
        f"--deadline-remaining-seconds={limit_s:.0f}",
    )
    try:
        subprocess.run(  # noqa: S603 - Ray's own command
            [*drain_command, *options], check=True, capture_output=True, text=True, timeout=limit_s
        )
    except subprocess.SubprocessError as error:
        raise NodeError(f"Ray leaves the replicas on this node: {_why(error)}") from error
    while _has_replicas(node) and time.monotonic() < give_up_s:
        time.sleep(_POLL_S)


def _has_replicas(node: RayNode) -> bool:
    return any(each.parent == node.pid and each.arguments[0].startswith(_REPLICA_TITLE) for each in own_processes())


def _option(process: OwnProcess, name: bytes) -> str:
    return next(each.removeprefix(name).decode() for each in process.arguments if each.startswith(name))


def _why(error: subprocess.SubprocessError) -> str:
    return last_words(str(getattr(error, "stderr", None) or "")) or "no answer in time"
