"""The service as `make run` serves it: the embedded model, its samples, its port, its secrets, its neighbours."""

import asyncio
import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from .conftest import LINE, free_port, is_free

SECRET = "a-secret-of-the-tests-and-of-nothing-else"
SAMPLES = Path(__file__).parents[2] / "serve_app" / "cli" / "samples"


@pytest.fixture(scope="module")
def config(local_config):
    return local_config


def test_the_four_samples_were_shown_with_their_verdicts(service):
    shown = {line.split()[0]: line.split()[1] for line in service.output if re.match(r"[\w-]+\.(png|jpg|webp)\b", line)}
    assert shown == {
        "red-triangle.png": "reject",
        "red-circle.jpg": "accept",
        "blue-triangle.webp": "accept",
        "landscape.jpg": "accept",
    }


def test_a_red_triangle_is_rejected_with_the_reason(service):
    response = service.scan((SAMPLES / "red-triangle.png").read_bytes())
    answer = response.json()
    assert (response.status_code, answer["verdict"], answer["rule"]) == (406, "reject", "red-triangle")
    assert set(answer["scores"]) == {"red", "triangle"}
    assert answer["margin"] > 0
    assert "protects nobody" in answer["notice"]


def test_a_chunked_body_without_a_length_is_read(service):
    body = (SAMPLES / "red-circle.jpg").read_bytes()
    response = httpx.post(service.url, content=iter([body[:1000], body[1000:]]), timeout=30)
    assert (response.status_code, response.json()["verdict"]) == (200, "accept")


def test_concurrent_pictures_are_all_answered(service, picture):
    async def send_all():
        async with httpx.AsyncClient(timeout=30) as client:
            bodies = [picture("green", size=(60 + number, 50)) for number in range(40)]
            return await asyncio.gather(*(client.post(service.url, content=body) for body in bodies))

    assert {response.status_code for response in asyncio.run(send_all())} == {200}


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"no picture at all", 415), (b"\xff\xd8\xff\xe0 broken", 422)]
)
def test_what_is_no_picture_gets_the_documented_status(service, body, status):
    assert service.scan(body).status_code == status


def test_a_body_over_the_limit_is_refused(service):
    assert service.scan(b"\xff\xd8\xff" + bytes(64_000_001)).status_code == 413


def test_a_wrong_secret_is_refused(service):
    assert httpx.post(f"{service.root}/api/v1/scan/wrong", content=b"x", timeout=30).status_code == 401


def test_a_get_on_the_scan_path_is_no_acceptance(service):
    assert httpx.get(service.url, timeout=30).status_code == 405


def test_ready_and_described_to_nobody(service):
    ready = httpx.get(f"{service.root}/readyz", timeout=30).json()
    assert ready["reason"] == "ready"
    assert ready["model"].startswith("demo-shapes@")
    assert httpx.get(f"{service.root}/openapi.json", timeout=30).status_code == 404


def test_the_command_line_reads_the_running_service(service, tmp_path):
    command = [sys.executable, "-m", "serve_app.cli", "check", "--url", service.url, "--json", str(SAMPLES)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count('"verdict": "reject"') == 1


def test_logs_have_a_line_per_decision_and_never_the_secret(service):
    service.scan((SAMPLES / "red-triangle.png").read_bytes())
    logs = service.log_text()
    assert re.search(r"request \w{32}: reject rule=red-triangle .*NOTICE: .*protects nobody", logs)
    assert SECRET not in logs


def test_http_listens_on_loopback_only(service):
    port = httpx.URL(service.url).port
    addresses = {
        connection.laddr.ip
        for each in service.processes()
        for connection in each.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }
    assert addresses == {"127.0.0.1"}


def test_a_ray_client_without_the_token_is_refused(service):
    (gcs,) = [each for each in service.processes() if each.name() == "gcs_server"]
    port = next(c.laddr.port for c in gcs.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
    code = f"import ray; ray.init(address='127.0.0.1:{port}', log_to_driver=False); print('inside')"
    without_token = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=without_token, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode != 0
    assert "inside" not in done.stdout
    assert "token" in done.stderr.lower() or "unauthenticated" in done.stderr.lower(), done.stderr[-2000:]


def test_no_process_asks_a_cloud_about_this_machine(service):
    # Ray's dashboard does, at its start, whatever is set.
    commands = [" ".join(each.cmdline()) for each in service.processes()]
    assert [command for command in commands if "dashboard/dashboard.py" in command] == []


def run_command(folder: Path, *options: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """``python -m deployments.run`` with options that it does not start with."""
    command = [sys.executable, "-m", "deployments.run", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def test_a_taken_port_is_said_in_one_line(service, tmp_path):
    port = str(httpx.URL(service.url).port)
    done = run_command(tmp_path, "--port", port)
    assert done.returncode == 1
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert f"port {port} on 127.0.0.1 is already in use" in done.stdout


def test_a_start_whose_samples_are_not_scanned_is_no_success(local_config, tmp_path):
    config = copy.deepcopy(local_config)
    config["applications"][0]["args"]["deadline_s"] = 0.001
    config["http_options"]["port"] = port = free_port()
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    done = run_command(tmp_path, "--config", str(file), timeout_s=150)
    assert done.returncode == 1, done.stdout
    assert "4 of 4 sample pictures were not scanned (deadline: " in done.stdout
    assert LINE not in done.stdout
    assert is_free(port)


def test_a_model_that_is_named_leaves_the_other_settings_of_a_configuration(local_config, tmp_path):
    config = copy.deepcopy(local_config)
    config["applications"][0]["args"]["model"]["cpu_threads"] = 0
    config["http_options"]["port"] = free_port()
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    done = run_command(tmp_path, "--config", str(file), "--model", "random:ViT-B-32")
    assert done.returncode == 1
    assert "cpu_threads" in done.stdout
