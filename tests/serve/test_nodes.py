"""Two real Ray nodes on this machine: pictures are looked at by both, and their end leaves nothing behind.

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

TWO_NODES = """
import json, sys
from pathlib import Path
import httpx
from benchmarks.bodies import photo_like_jpeg
from benchmarks.served import Replicas, served

with served("fake:1ms", 4, Path(sys.argv[1])) as (nodes, service):
    nodes.add(1)
    service.deploy(Replicas.one_per_node(2))
    pictures = [photo_like_jpeg(20_000, seed) for seed in range(4)]
    names = ["Ingress", "Preprocessor", "ClipScorer"]
    seen = {
        "statuses": [httpx.post(service.url, content=each, timeout=30).status_code for each in pictures],
        "port": httpx.URL(service.url).port,
        "replicas": [[len(node.replicas(name)) for name in names] for node in nodes.alive],
        "pids": [process.pid for node in nodes.alive for process in node.processes()],
    }
print(json.dumps(seen))
"""


@pytest.mark.timeout(120)
def test_two_nodes_serve_and_leave_nothing_behind():
    command = [sys.executable, "-c", TWO_NODES, str(ROOT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["statuses"] == [200] * 4
    assert seen["replicas"] == [[1, 1, 1], [1, 1, 1]]
    assert not [pid for pid in seen["pids"] if psutil.pid_exists(pid)]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", seen["port"])) != 0
