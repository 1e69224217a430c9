"""What Ray nodes of our own are started with, without starting any."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.nodes import environment
from benchmarks.served import DEPLOYMENTS, Replicas, configuration, ingress_replicas_up
from deployments.environment_check import read_args_for_ray


def test_the_environment_is_fast_closed_and_new_each_time() -> None:
    first, second = environment(), environment()
    assert first["RAY_AUTH_MODE"] == "token"
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
    ports = [value for name, value in first.items() if name.endswith("_PORT")]
    assert len(ports) == len(set(ports)) == 3


@pytest.mark.parametrize("per_node", [1, None])
def test_what_is_served_is_a_configuration_that_the_application_takes(tmp_path: Path, per_node: int | None) -> None:
    served = configuration(7003, tmp_path, Replicas(3, per_node), "fake:200ms", 4)
    (application,) = served["applications"]
    settings, policies = read_args_for_ray(application["args"])
    assert (settings.model.source, settings.model.max_batch_views, policies.of_service.name) == (
        "fake:200ms",
        4,
        "fake-red",
    )
    assert {each["name"]: each["num_replicas"] for each in application["deployments"]} == dict.fromkeys(DEPLOYMENTS, 3)
    assert {each.get("max_replicas_per_node") for each in application["deployments"]} == {per_node}


def test_the_front_end_counts_the_ingress_replicas_that_it_sends_to() -> None:
    state = """# pxname,svname,status,
http_frontend,FRONTEND,OPEN,
app,SERVE_REPLICA_pictwarden-Ingress-a,UP,
app,SERVE_REPLICA_pictwarden-Ingress-b,UP 1/2,
app,SERVE_REPLICA_pictwarden-Ingress-c,DOWN,
app,SERVE_PROXY_ACTOR-fallback-d,UP,
app,BACKEND,UP,
"""
    assert ingress_replicas_up(state) == 2
    assert ingress_replicas_up("") == 0
