"""The environment of Ray's processes: what a cluster gets is what `make run` sets."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.ray_environment import (
    BUFFER_BYTES,
    FAST_SETTINGS,
    LOCAL_SETTINGS,
    REPLICATED_INGRESS_SETTINGS,
    own_port_settings,
    replicated_ingress_settings,
)

ROOT = Path(__file__).parents[3]
OPERATIONS = ROOT / "docs" / "operations.md"


def test_a_shell_that_evaluates_the_documented_command_has_the_settings():
    assert 'eval "$(python -m deployments.cluster_environment)"' in OPERATIONS.read_text("utf-8")
    script = f'eval "$({sys.executable} -m deployments.cluster_environment)"; env -0'
    printed = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
    )
    exported = dict(each.split("=", 1) for each in printed.stdout.split("\0") if "RAY_" in each or "grpc" in each)
    assert exported == {**FAST_SETTINGS, **REPLICATED_INGRESS_SETTINGS}


def test_haproxy_waits_for_the_body_that_it_may_have_to_send_again():
    # Without the second line nothing is ever replayed, whatever the first one says.
    first, second, third = REPLICATED_INGRESS_SETTINGS["RAY_SERVE_HAPROXY_RETRY_ON"].split("\n")
    assert first.split() == ["conn-failure", "empty-response"]
    assert second.split() == ["option", "http-buffer-request"]
    assert third.split()[:2] == ["timeout", "http-request"]
    assert FAST_SETTINGS["RAY_SERVE_HAPROXY_TUNE_BUFSIZE"] == str(BUFFER_BYTES)


def test_serve_reads_each_of_its_variables():
    # A variable that a new version no longer reads would be set for nothing, and nobody would notice.
    (serve,) = importlib.util.find_spec("ray").submodule_search_locations
    constants = (Path(serve) / "serve" / "_private" / "constants.py").read_text("utf-8")
    names = {*FAST_SETTINGS, *REPLICATED_INGRESS_SETTINGS, *LOCAL_SETTINGS, *own_port_settings()}
    of_serve = {name for name in names if name.startswith("RAY_SERVE_")}
    assert of_serve
    assert {name for name in of_serve if f'"{name}"' not in constants} == set()


def test_two_services_share_no_port():
    first, second = own_port_settings(), own_port_settings()
    assert len({*first.values()}) == len(first)
    assert first.keys() == second.keys()


@pytest.mark.parametrize(
    ("ingress", "is_one"),
    [
        (None, True),
        ({}, True),
        ({"num_replicas": 1}, True),
        ({"num_replicas": 2}, False),
        ({"num_replicas": "auto"}, False),
        ({"autoscaling_config": {"max_replicas": 2}}, False),
    ],
)
def test_what_only_several_ingress_replicas_need_is_set_for_them_alone(ingress, is_one):
    deployments = [] if ingress is None else [{"name": "Ingress", **ingress}]
    settings = replicated_ingress_settings({"applications": [{"deployments": deployments}]})
    assert settings == ({} if is_one else REPLICATED_INGRESS_SETTINGS)
