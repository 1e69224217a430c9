"""The application as the benchmarks of faults and of clusters serve it: the real graph, a model of a known cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECRET = "a-secret-of-the-benchmarks-and-of-nothing-else"

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


def write_policy(folder: Path) -> Path:
    """The policy of the engine without weights, as a file in ``folder``."""
    path = folder / "policy.yaml"
    path.write_text(_POLICY, "utf-8")
    return path


def configuration(port: int, policy: Path, replicas: Replicas, source: str, largest_batch: int) -> dict[str, Any]:
    """A Serve configuration, of the form of ``serve_config.yaml``.

    Args:
        port: of the HTTP front end, on 127.0.0.1.
        policy: of the model.
        replicas: of each deployment.
        source: the model's, as :mod:`serve_app.clip.source` reads it.
        largest_batch: views in one pass at most.
    """
    model = {"source": source, "max_batch_views": largest_batch}
    counts = {"Ingress": replicas.ingress, "Preprocessor": replicas.preprocessor, "ClipScorer": replicas.scorer}
    return {
        # One front end: on one machine those of several nodes would want the same port.
        "proxy_location": "HeadOnly",
        "http_options": {"host": "127.0.0.1", "port": port, "keep_alive_timeout_s": 90},
        "logging_config": {"enable_access_log": False},
        "applications": [
            {
                "name": "pictwarden",
                "route_prefix": "/",
                "import_path": "deployments.graph:build_app",
                "args": {"model": model, "policy": str(policy)},
                "deployments": [_deployment(name, count, replicas.per_node) for name, count in counts.items()],
            }
        ],
    }


def _deployment(name: str, count: int, per_node: int | None) -> Mapping[str, Any]:
    limit = {} if per_node is None else {"max_replicas_per_node": per_node}
    return {"name": name, "num_replicas": count, "ray_actor_options": {"num_cpus": 0.1}, **limit}
