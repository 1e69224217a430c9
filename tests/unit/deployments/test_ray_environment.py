"""The environment of Ray's processes: what a cluster gets is what `make run` sets."""

import importlib.util
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.haproxy.front_end import front_end_settings
from deployments.private_folder import private_folder
from deployments.ray_environment import (
    BUFFER_BYTES,
    FAST_SETTINGS,
    LOCAL_SETTINGS,
    REPLICATED_INGRESS_SETTINGS,
    TOKEN_SETTINGS,
    lacking_message_settings,
    message_settings,
    own_port_settings,
    replicated_ingress_settings,
)
from serve_app.settings import parse_settings

ROOT = Path(__file__).parents[3]
OPERATIONS = ROOT / "docs" / "operations.md"


@pytest.fixture
def folder():
    with private_folder() as made:
        yield made


def test_a_shell_that_evaluates_the_documented_command_has_the_settings(folder):
    assert 'eval "$(python -m deployments.cluster_environment)"' in OPERATIONS.read_text("utf-8")
    script = f'eval "$({sys.executable} -m deployments.cluster_environment)"; env -0'
    printed = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PICTWARDEN_FOLDER": str(folder)},
    )
    exported = dict(each.split("=", 1) for each in printed.stdout.split("\0") if each.startswith(("RAY_", "no_grpc")))
    settings = parse_settings({})
    of_the_folder = front_end_settings(folder, settings) | {"RAY_TMPDIR": str(folder)}
    travels = message_settings(settings.limits.max_body_bytes)
    expected = {**FAST_SETTINGS, **TOKEN_SETTINGS, **REPLICATED_INGRESS_SETTINGS, **travels, **of_the_folder}
    assert exported == {name: value for name, value in expected.items() if name.startswith(("RAY_", "no_grpc"))}


def test_haproxy_waits_for_the_body_that_it_may_have_to_send_again():
    # Without the second line nothing is ever replayed, whatever the first one says.
    first, second, third = REPLICATED_INGRESS_SETTINGS["RAY_SERVE_HAPROXY_RETRY_ON"].split("\n")
    assert first.split() == ["conn-failure", "empty-response"]
    assert second.split() == ["option", "http-buffer-request"]
    assert third.split()[:2] == ["timeout", "http-request"]
    assert FAST_SETTINGS["RAY_SERVE_HAPROXY_TUNE_BUFSIZE"] == str(BUFFER_BYTES)


def test_a_folder_that_others_can_enter_is_refused_and_nothing_is_printed(folder):
    folder.chmod(0o750)
    command = [sys.executable, "-m", "deployments.cluster_environment"]
    environment = {"PATH": "/usr/bin:/bin", "PICTWARDEN_FOLDER": str(folder)}
    printed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert (printed.returncode, printed.stdout) == (1, "")
    assert "0700" in printed.stderr


def test_a_folder_is_made_where_none_is_given():
    command = [sys.executable, "-m", "deployments.cluster_environment", str(ROOT / "serve_config.yaml")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env={"PATH": "/bin"})
    (line,) = [each for each in printed.stdout.splitlines() if each.startswith("export PICTWARDEN_FOLDER=")]
    made = Path(line.partition("=")[2])
    try:
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(made)


def test_a_configuration_that_is_none_is_one_line(folder):
    (folder / "config.yaml").write_text("applications: []\n", "utf-8")
    command = [sys.executable, "-m", "deployments.cluster_environment", str(folder / "config.yaml")]
    printed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env={"PATH": "/bin"})
    assert (printed.returncode, printed.stdout) == (1, "")
    assert printed.stderr.startswith(f"{folder / 'config.yaml'}: `applications` is missing")
    assert len(printed.stderr.splitlines()) == 1


def test_serve_reads_each_of_its_variables(folder):
    # A variable that a new version no longer reads would be set for nothing, and nobody would notice.
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (serve,) = spec.submodule_search_locations
    constants = (Path(serve) / "serve" / "_private" / "constants.py").read_text("utf-8")
    of_the_folder = front_end_settings(folder, parse_settings({}))
    names = {*FAST_SETTINGS, *REPLICATED_INGRESS_SETTINGS, *LOCAL_SETTINGS, *own_port_settings(), *of_the_folder}
    names |= message_settings(1).keys()
    of_serve = {name for name in names if name.startswith("RAY_SERVE_")}
    assert of_serve
    assert {name for name in of_serve if f'"{name}"' not in constants} == set()
    # What Serve writes by default into a folder that everybody can enter goes into ours.
    open_to_all = set(re.findall(r'"(\w+)", "/tmp/haproxy-serve', constants))
    assert open_to_all
    assert open_to_all <= of_the_folder.keys()


def test_every_log_of_ray_and_of_serve_is_bounded_as_documented():
    found = importlib.util.find_spec("ray")
    assert found is not None
    assert found.origin is not None
    ray = Path(found.origin).parent
    of_each_process = (ray / "_private" / "node.py").read_text("utf-8")
    of_serve = (ray / "serve" / "_private" / "logging_utils.py").read_text("utf-8")
    for name in ("RAY_ROTATION_MAX_BYTES", "RAY_ROTATION_BACKUP_COUNT"):
        assert f'"{name}"' in of_each_process, "Ray no longer reads it"
    assert "max_bytes = ray._private.worker._global_node.max_bytes" in of_serve, "Serve has a bound of its own"
    bytes_ = int(FAST_SETTINGS["RAY_ROTATION_MAX_BYTES"])
    files = int(FAST_SETTINGS["RAY_ROTATION_BACKUP_COUNT"]) + 1
    bound = f"{bytes_ * files // 1_000_000} MB ({files} files of {bytes_ // 1_000_000} MB)"
    assert f"at most {bound}" in (ROOT / "docs" / "logging.md").read_text("utf-8")


@pytest.mark.parametrize("max_body_bytes", [1, 41_943_040, 64_000_000, 10**9])
def test_bodies_of_the_limit_travel_or_it_is_said(max_body_bytes):
    travels = message_settings(max_body_bytes)
    assert lacking_message_settings(max_body_bytes, travels) is None
    assert lacking_message_settings(max_body_bytes + 1, travels) == message_settings(max_body_bytes + 1)
    assert lacking_message_settings(max_body_bytes, {}) is None, "not over gRPC"


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


@pytest.mark.slow
def test_ray_starts_no_node_with_these_settings_and_without_a_token(tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **TOKEN_SETTINGS}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--temp-dir", str(tmp_path)]
    started = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=50)
    assert started.returncode != 0
    assert "no authentication token was found" in started.stderr
