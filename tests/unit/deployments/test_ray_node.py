"""The end of a node of Ray's, beside stand-ins for Ray's processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deployments.ray_node import NodeError, RayNode, move_replicas, worker_node
from serve_app.host.own_processes import own_processes

LIMIT_S = 50.0
REPLICA = "ray::ServeReplica:pictwarden:Ingress"

# Starts a replica, says so, and ends it when something is written to its own input.
RAYLET = """
import subprocess, sys
replica = subprocess.Popen([sys.argv[1], "-"], executable="/bin/cat", stdin=subprocess.PIPE)
print("started", flush=True)
sys.stdin.readline()
replica.communicate()
sys.stdin.readline()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def raylet(tmp_path: Path) -> Iterator[Start]:
    """Starts a process with a raylet's arguments, and a child of it with the title of a replica."""
    with ExitStack() as stack:

        def start(*more: str, title: str = REPLICA) -> "subprocess.Popen[str]":
            options = [f"--temp_dir={tmp_path}", "--node_id=0a1b", "--gcs-address=head:6379", *more]
            command = [sys.executable, "-c", RAYLET, title, *options]
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline()
            return process

        yield start


def test_the_node_is_the_one_whose_files_are_in_the_folder(tmp_path: Path, raylet: Start) -> None:
    process = raylet()
    assert worker_node(tmp_path) == RayNode(process.pid, "0a1b", "head:6379")
    assert worker_node(tmp_path / "another") is None


def test_the_head_is_none_that_serve_could_do_without(tmp_path: Path, raylet: Start) -> None:
    raylet("--head")
    assert worker_node(tmp_path) is None


def test_the_head_is_told_and_the_last_replica_waited_for(tmp_path: Path, raylet: Start) -> None:
    process = raylet()
    assert process.stdin is not None
    node = worker_node(tmp_path)
    assert node is not None
    told = tmp_path / "told"
    # As Serve does it: the replica ends once the command has returned.
    end = f"(while kill -0 $$; do sleep 0.01; done; echo > /proc/{process.pid}/fd/0) > /dev/null 2>&1 &"
    move_replicas(node, LIMIT_S, ["/bin/sh", "-c", f'printf "%s\\n" "$@" > {told}; {end}', "drain-node"])
    assert not any(each.parent == process.pid and each.arguments != (b"",) for each in own_processes())
    said = told.read_text("utf-8").splitlines()
    assert {"--address=head:6379", "--node-id=0a1b", "--deadline-remaining-seconds=50"} <= set(said)


def test_a_node_without_replicas_is_not_waited_for(tmp_path: Path, raylet: Start) -> None:
    raylet(title="ray::DashboardAgent")
    node = worker_node(tmp_path)
    assert node is not None
    move_replicas(node, LIMIT_S, ["true"])


def test_a_head_that_refuses_is_told(tmp_path: Path, raylet: Start) -> None:
    raylet()
    node = worker_node(tmp_path)
    assert node is not None
    refusal = ["/bin/sh", "-c", "echo The drain request is not accepted >&2; exit 1"]
    with pytest.raises(NodeError, match="leaves the replicas on this node: The drain request is not accepted"):
        move_replicas(node, LIMIT_S, refusal)
    with pytest.raises(NodeError, match="no answer in time"):
        move_replicas(node, 0.1, ["/bin/sh", "-c", "sleep 5"])
