"""The application as the benchmarks of faults and of clusters serve it: the real graph, a model of a known cost."""

from __future__ import annotations

import contextlib
import csv
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import fetched
from benchmarks.nodes import Nodes, environment, running_nodes
from deployments.haproxy.front_end import front_end_settings
from deployments.private_folder import private_folder
from deployments.ray_environment import free_ports, message_settings
from serve_app.cli.local_service import SECRETS_ENV
from serve_app.host.state_folder import STATE_ENV
from serve_app.settings import parse_settings
from serve_app.wire import SCAN_PATH

DEPLOYMENTS = ("Ingress", "Preprocessor", "ClipScorer")

_SECRET = secrets.token_hex(16)
"""Of this run: while it lasts, the front end and the ingress replicas listen on every address of the machine."""

_DEPLOY_TIMEOUT_S = 90.0
_POLL_S = 0.2

_INGRESS_SERVER = "SERVE_REPLICA_pictwarden-Ingress-"

# Colours are all that the engine without weights knows.
FAKE_POLICY = """\
policy: fake-red
model: fake
concepts:
  red: {score: cosine, prompts: [red]}
rules:
  - {name: red, verdict: reject, when: {concept: red, above: 0.5}}
"""


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many replicas of each deployment, and how many of one deployment a node may hold (None: any number)."""

    each: int
    per_node: int | None = None

    def deployments(self) -> list[dict[str, Any]]:
        """As a Serve configuration has them."""
        limit = {} if self.per_node is None else {"max_replicas_per_node": self.per_node}
        options = {"num_replicas": self.each, "ray_actor_options": {"num_cpus": 0.1}, **limit}
        return [{"name": name, **options} for name in DEPLOYMENTS]


def configuration(port: int, folder: Path, replicas: Replicas, source: str, largest_batch: int) -> dict[str, Any]:
    """A Serve configuration, of the form of ``serve_config.yaml``; its policy is written into ``folder``.

    ``source`` is the model's, and ``largest_batch`` the views in one pass at most.
    """
    policy = folder / "policy.yaml"
    policy.write_text(FAKE_POLICY, "utf-8")
    return {
        # One front end: on one machine those of several nodes would want the same port.
        "proxy_location": "HeadOnly",
        # HAProxy asks the ingress replicas of other nodes at the nodes' addresses: on 127.0.0.1 it would not find them.
        "http_options": {"host": "0.0.0.0", "port": port, "keep_alive_timeout_s": 90},  # noqa: S104 - see above
        "logging_config": {"enable_access_log": False},
        "applications": [
            {
                "name": "pictwarden",
                "route_prefix": "/",
                "import_path": "deployments.graph:build_app",
                "args": {"model": {"source": source, "max_batch_views": largest_batch}, "policy": str(policy)},
                "deployments": replicas.deployments(),
            }
        ],
    }


class Service:
    """The application on a cluster that this process drives."""

    def __init__(self, nodes: Nodes, folder: Path, source: str, largest_batch: int) -> None:
        """Nothing is deployed yet. ``folder``: for the policy; for the others see :func:`configuration`."""
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}{SCAN_PATH}/{_SECRET}"
        """Where pictures are sent."""
        self._nodes = nodes
        self._configured = (folder, source, largest_batch)
        self._wanted: Mapping[str, int] = {}

    def deploy(self, replicas: Replicas) -> None:
        """Bring up, or change, and wait until all of it runs.

        Raises:
            DeployFailedError: it does not come up.
        """
        folder, source, largest_batch = self._configured
        self.apply(
            configuration(self.port, folder, replicas, source, largest_batch), dict.fromkeys(DEPLOYMENTS, replicas.each)
        )
        self.require_whole()

    def apply(self, config: Mapping[str, Any], wanted: Mapping[str, int]) -> None:
        """Give Serve a configuration, and return before it is carried out.

        Args:
            config: of the form of ``serve_config.yaml``, with this service's port.
            wanted: the replicas of each deployment once all of it runs.
        """
        from deployments.local_ray import deploy

        self._wanted = wanted
        deploy(config)

    def require_whole(self) -> None:
        """Wait until all that is wanted runs, behind one HAProxy.

        Raises:
            DeployFailedError: it does not come up.
        """
        from deployments.local_ray import DeployFailedError

        # A HAProxy that was replaced a moment ago takes requests still, and knows the ingress replicas of its time.
        if not wait_until(lambda: self.is_whole() and len(self._nodes.front_ends()) == 1, _DEPLOY_TIMEOUT_S):
            raise DeployFailedError(f"not all of {self._wanted} run after {_DEPLOY_TIMEOUT_S:.0f} s")

    def is_whole(self) -> bool:
        """Whether as many replicas run as are wanted, as far as Serve and its front end know of those that died."""
        from ray import serve

        application = serve.status().applications.get("pictwarden")
        if application is None or application.status != "RUNNING":
            return False
        running = {name: each.replica_states for name, each in application.deployments.items()}
        stats_port = os.environ.get("RAY_SERVE_HAPROXY_STATS_PORT", "8404")
        _, servers = fetched(f"http://127.0.0.1:{stats_port}/stats;csv")
        sent_to = ingress_replicas_up(servers)
        wanted = {name: {"RUNNING": count} for name, count in self._wanted.items()}
        return running == wanted and sent_to == self._wanted["Ingress"]


@contextlib.contextmanager
def served(
    source: str, largest_batch: int, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[Nodes, Service]]:
    """A head node with Serve on it, and a service to be deployed on it; all of it ends with the block.

    Changes this process's environment, for Ray reads its own when it is imported: once in a process. ``variables``
    replace those of :func:`benchmarks.nodes.environment`.
    """
    os.environ.update({**environment(), **(variables or {}), SECRETS_ENV: _SECRET})
    with contextlib.ExitStack() as ended:
        folder = ended.enter_context(private_folder())
        os.environ[STATE_ENV] = str(folder / "state")  # a ledger that ends with the benchmark
        settings = parse_settings({})
        os.environ.update(front_end_settings(folder, settings))
        os.environ.update(message_settings(settings.limits.max_body_bytes))
        nodes = ended.enter_context(running_nodes())
        yield nodes, Service(nodes, folder, source, largest_batch)


def ingress_replicas_up(front_end_state: str) -> int:
    """How many ingress replicas HAProxy sends requests to, by its table of its servers: CSV with a heading."""
    servers = csv.DictReader(front_end_state.removeprefix("# ").splitlines())
    return sum(each["svname"].startswith(_INGRESS_SERVER) and each["status"].startswith("UP") for each in servers)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Ask until ``condition`` holds; False when it did not within ``timeout_s``."""
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(_POLL_S)
    return True
