"""Real Ray nodes on this machine: an ingress replica dies, or a node is to end, and nobody notices.

In a process of its own: Ray reads its environment when it is imported, once per process.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]

# The nodes may take 90 s to start, and as long again to have their replicas.
TIMEOUT_S = 220
pytestmark = pytest.mark.timeout(TIMEOUT_S + 20)

TWO_NODES = """
import json
from concurrent.futures import ThreadPoolExecutor
import httpx
from benchmarks.bodies import photo_like_jpeg, unique
from benchmarks.served import Replicas, served

def send(picture):
    return httpx.post(service.url, content=iter([picture[:1000], picture[1000:]]), timeout=30).status_code

with served("fake:300ms", 4) as (nodes, service):
    nodes.add(1)
    service.deploy(Replicas(2, per_node=1))
    names = ["Ingress", "Preprocessor", "ClipScorer"]
    seen = {
        "port": httpx.URL(service.url).port,
        "replicas": [[len(node.replicas(name)) for name in names] for node in nodes.alive],
        "pids": [process.pid for node in nodes.alive for process in node.processes()],
    }
    picture = photo_like_jpeg(200_000, seed=1)
    pictures = [unique(picture) for _ in range(24)]
    with ThreadPoolExecutor(12) as clients:
        answers = clients.map(send, pictures)
        first = next(answers)  # the others are in flight
        nodes.replicas("Ingress")[0].kill()
        seen["statuses"] = [first, *answers]
print(json.dumps(seen))
"""


def seen_by(program):
    """What a program that starts nodes prints at its end."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_two_nodes_serve_outlive_an_ingress_and_leave_nothing_behind():
    seen = seen_by(TWO_NODES)
    assert seen["replicas"] == [[1, 1, 1], [1, 1, 1]]
    # By default HAProxy answers 500, or nothing, to whatever the ingress replica had in flight.
    assert seen["statuses"] == [200] * 24
    assert not [pid for pid in seen["pids"] if psutil.pid_exists(pid)]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", seen["port"])) != 0


THREE_NODES = """
import json
import threading
import httpx
from benchmarks.bodies import photo_like_jpeg, unique
from benchmarks.served import Replicas, served
from deployments.ray_node import move_replicas, worker_node

def send():
    with httpx.Client(timeout=30) as client:
        while not is_moved.is_set():
            seen["statuses"].append(client.post(service.url, content=unique(picture)).status_code)

with served("fake:20ms", 5) as (nodes, service):
    nodes.add(2)
    service.deploy(Replicas(2))
    leaving = nodes.busiest_worker()
    seen = {"before": len(leaving.replicas("")), "statuses": []}
    picture, is_moved = photo_like_jpeg(50_000, seed=1), threading.Event()
    clients = [threading.Thread(target=send) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        number = leaving.output.stem.removeprefix("node-")
        move_replicas(worker_node(leaving.output.parent / number), 60.0)
    finally:
        is_moved.set()
        for client in clients:
            client.join()
    seen["after"] = len(leaving.replicas(""))
print(json.dumps(seen))
"""


def test_a_node_that_is_to_end_has_its_replicas_moved_and_no_picture_notices():
    seen = seen_by(THREE_NODES)
    assert seen["before"] > 0
    assert seen["after"] == 0
    assert set(seen["statuses"]) == {200}
