"""The application as the benchmarks of faults and of clusters serve it: the real graph, a model of a known cost."""

from __future__ import annotations

import contextlib
import csv
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.nodes import Nodes, connected, environment
from deployments.haproxy.front_end import front_end_settings
from deployments.private_folder import private_folder
from deployments.ray_environment import free_ports, message_settings
from serve_app.cli.connection import SECRETS_ENV
from serve_app.domain import ConfigurationError
from serve_app.settings import parse_settings
from serve_app.wire import SCAN_PATH

_SECRET = secrets.token_hex(16)
"""Of this run: while it lasts, the front end and the ingress replicas listen on every address of the machine."""

_CPUS_PER_NODE = 4
"""Logical ones: room for every replica that a node is given, so that cores are no reason where one is placed."""

_DEPLOY_TIMEOUT_S = 90.0
_FRONT_END_TIMEOUT_S = 5.0
_POLL_S = 0.2

_INGRESS_SERVER = "SERVE_REPLICA_pictwarden-Ingress-"

# Colours are all that the engine without weights knows.
_POLICY = """\
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

    ingress: int
    preprocessor: int
    scorer: int
    per_node: int | None = None

    @classmethod
    def one_per_node(cls, nodes: int) -> Replicas:
        """One of each on each node, as a cluster with one GPU a node has its scorers."""
        return cls(nodes, nodes, nodes, per_node=1)

    @property
    def counts(self) -> dict[str, int]:
        """By the deployment's name."""
        return {"Ingress": self.ingress, "Preprocessor": self.preprocessor, "ClipScorer": self.scorer}


def write_policy(folder: Path) -> Path:
    """The policy of the engine without weights, as a file in ``folder``."""
    path = folder / "policy.yaml"
    path.write_text(_POLICY, "utf-8")
    return path


def configuration(port: int, policy: Path, replicas: Replicas, source: str, largest_batch: int) -> dict[str, Any]:
    """A Serve configuration, of the form of ``serve_config.yaml``.

    Args:
        port: of the HTTP front end.
        policy: of the model.
        replicas: of each deployment.
        source: the model's, as :mod:`serve_app.models.source` reads it.
        largest_batch: views in one pass at most.
    """
    model = {"source": source, "max_batch_views": largest_batch}
    return {
        # One front end: on one machine those of several nodes would want the same port.
        "proxy_location": "HeadOnly",
        # HAProxy asks the ingress replicas of other nodes at the nodes' addresses: on 127.0.0.1 it would not find them.
        "http_options": {"host": "0.0.0.0", "port": port, "keep_alive_timeout_s": 90},
        "logging_config": {"enable_access_log": False},
        "applications": [
            {
                "name": "pictwarden",
                "route_prefix": "/",
                "import_path": "deployments.graph:build_app",
                "args": {"model": model, "policy": str(policy)},
                "deployments": [_deployment(name, count, replicas.per_node) for name, count in replicas.counts.items()],
            }
        ],
    }


def _deployment(name: str, count: int, per_node: int | None) -> Mapping[str, Any]:
    limit = {} if per_node is None else {"max_replicas_per_node": per_node}
    return {"name": name, "num_replicas": count, "ray_actor_options": {"num_cpus": 0.1}, **limit}


class Service:
    """The application on a cluster that this process drives."""

    def __init__(
        self,
        folder: Path,
        source: str,
        largest_batch: int,
        secret: str,
        is_settled: Callable[[], bool] = lambda: True,
    ) -> None:
        """Nothing is deployed yet.

        Args:
            folder: for the policy.
            source: the model's; see :func:`configuration`.
            largest_batch: views in one pass at most.
            secret: that lets pictures in.
            is_settled: whether nobody serves any more with what was deployed before.
        """
        self._secret = secret
        self._is_settled = is_settled
        (self._port,) = free_ports(1)
        self._policy = write_policy(folder)
        self._source = source
        self._largest_batch = largest_batch
        self._replicas = Replicas(0, 0, 0)

    @property
    def url(self) -> str:
        """Where pictures are sent."""
        return f"http://127.0.0.1:{self._port}{SCAN_PATH}/{self._secret}"

    def deploy(self, replicas: Replicas) -> None:
        """Bring up, or change, and wait until all of it runs.

        Raises:
            DeployFailedError: it does not come up.
        """
        from deployments.local_ray import DeployFailedError, deploy

        self._replicas = replicas
        deploy(configuration(self._port, self._policy, replicas, self._source, self._largest_batch))
        if not wait_until(lambda: self.is_whole() and self._is_settled(), _DEPLOY_TIMEOUT_S):
            raise DeployFailedError(f"not all of {replicas.counts} run after {_DEPLOY_TIMEOUT_S:.0f} s")

    def is_whole(self) -> bool:
        """Whether as many replicas run as are wanted, as far as Serve and its front end know of those that died."""
        from ray import serve

        application = serve.status().applications.get("pictwarden")
        if application is None or application.status != "RUNNING":
            return False
        states = {name: each.replica_states for name, each in application.deployments.items()}
        return all(
            states[name] == {"RUNNING": count} for name, count in self._replicas.counts.items()
        ) and self._replicas.ingress == ingress_replicas_up(_front_end_state())


@contextlib.contextmanager
def served(source: str, largest_batch: int, repository: Path) -> Iterator[tuple[Nodes, Service]]:
    """A head node with Serve on it, and a service to be deployed on it; all of it ends with the block.

    Changes this process's environment, for Ray reads its own when it is imported: once in a process.
    """
    os.environ.update(environment({**os.environ, SECRETS_ENV: _SECRET}, repository))
    with contextlib.ExitStack() as ended:
        folder = ended.enter_context(private_folder())
        settings = parse_settings({})
        os.environ.update(front_end_settings(folder, settings))
        os.environ.update(message_settings(settings.limits.max_body_bytes))
        nodes = ended.enter_context(Nodes(_CPUS_PER_NODE, os.environ))
        ended.enter_context(connected(nodes.address))
        # A HAProxy that was replaced a moment ago takes requests still, and knows the ingress replicas of its time.
        yield nodes, Service(folder, source, largest_batch, _SECRET, lambda: len(nodes.front_ends()) == 1)


@contextlib.contextmanager
def standing(address: str, source: str, largest_batch: int) -> Iterator[Service]:
    """A service to be deployed on the cluster at ``address``, which this machine is the head of.

    The environment is the caller's, with the secret that the cluster was started with, and its token. Serve ends with
    the block: it was not there before.

    Raises:
        ConfigurationError: the cluster serves something already, which a benchmark would replace; or no secret is set.
    """
    import ray
    from ray import serve

    from deployments.local_ray import shut_down

    if not (secret := os.environ.get(SECRETS_ENV, "").partition(",")[0]):
        raise ConfigurationError(f"set {SECRETS_ENV} as it was set where the cluster was started")
    ray.init(address, namespace="serve", log_to_driver=False, logging_level=logging.WARNING)
    if served_already := sorted(serve.status().applications):
        ray.shutdown()
        raise ConfigurationError(f"this cluster serves {', '.join(served_already)}: a benchmark would replace it")
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Service(Path(folder), source, largest_batch, secret)
    finally:
        shut_down()


def ingress_replicas_up(front_end_state: str) -> int:
    """How many ingress replicas HAProxy sends requests to.

    Args:
        front_end_state: HAProxy's table of its servers, as CSV with a heading.
    """
    servers = csv.DictReader(front_end_state.removeprefix("# ").splitlines())
    return sum(each["svname"].startswith(_INGRESS_SERVER) and each["status"].startswith("UP") for each in servers)


def _front_end_state() -> str:
    """Of the HAProxy on this machine; empty while there is none."""
    port = os.environ.get("RAY_SERVE_HAPROXY_STATS_PORT", "8404")
    try:
        return httpx.get(f"http://127.0.0.1:{port}/stats;csv", timeout=_FRONT_END_TIMEOUT_S).text
    except httpx.HTTPError:
        return ""


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Ask until ``condition`` holds; False when it did not within ``timeout_s``."""
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(_POLL_S)
    return True
