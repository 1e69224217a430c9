"""Two real Ray nodes on this machine: a picture goes through both, and their end leaves nothing behind.

In a process of its own: Ray reads its environment when it is imported, once per process.
"""

TWO_NODES = """
import json, sys
from pathlib import Path
import httpx
from benchmarks.bodies import photo_like_jpeg
from benchmarks.served import Replicas, served

with served("fake:1ms", 4, Path(sys.argv[1])) as (nodes, service):
    nodes.add(1)
    service.deploy(Replicas.one_per_node(2))
    answer = httpx.post(service.url, content=photo_like_jpeg(20_000, 1), timeout=30)
    seen = {
        "status": answer.status_code,
        "port": httpx.URL(service.url).port,
        "replicas": [[len(node.replicas(name)) for name in service.replicas.counts] for node in nodes.alive],
        "pids": [process.pid for node in nodes.alive for process in node.processes()],
    }
print("SEEN", json.dumps(seen))
"""
