"""`pictwarden serve --scorers remote` as a process: what it opens, what it has loaded, and its end without a worker."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from tests.serve.conftest import ROOT, environment_of_a_service, free_port

PATIENT_S = 60
MOST_BYTES = 200 * 1024 * 1024
"""That a small server has for a front with two decode workers."""


@pytest.fixture
def ports():
    return {"http_options": free_port(), "admin": free_port(), "metrics": free_port(), "remote": free_port()}


@pytest.fixture
def front(tmp_path, ports):
    sections = {name: {"port": ports[name]} for name in ("admin", "metrics", "remote")}
    args = {**sections, "preset": "demo", "ledger": "memory", "decode_workers": 2}
    document = {
        "http_options": {"port": ports["http_options"]},
        "applications": [{"import_path": "deployments.graph:build_app", "args": args}],
    }
    (tmp_path / "front.yaml").write_text(yaml.safe_dump(document), "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "serve_app.cli", "serve", "--config", "front.yaml", "--scorers", "remote"],
        cwd=tmp_path,
        env=environment_of_a_service(PICTWARDEN_ADMIN_SECRETS="alice:a-secret-of-an-admin", PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # closes its output
        yield process
        process.kill()


def front_rows():
    page = (ROOT / "docs" / "security.md").read_text("utf-8").splitlines()
    return [line for line in page if line.startswith("| a [front]")]


def test_a_front_listens_where_it_says_loads_no_model_and_ends(front, ports, tmp_path: Path):
    line = next(each for each in front.stdout if "no worker is connected yet" in each)
    assert f"pictwarden worker --url http://127.0.0.1:{ports['remote']} --secret-file" in line
    assert (tmp_path / ".pictwarden" / "worker-secret").is_file()
    process = psutil.Process(front.pid)
    listening = {each.laddr for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", port) for port in ports.values()}
    (row,) = front_rows()
    assert ("`remote.host`" in row, "14054" in row) == (True, True)
    libraries = {Path(each.path).name for each in process.memory_maps()}
    assert not [each for each in libraries if "torch" in each or "onnxruntime" in each or "openvino" in each]
    pss_bytes = sum(each.memory_full_info().pss for each in (process, *process.children(recursive=True)))
    assert pss_bytes < MOST_BYTES
    ready = httpx.get(f"http://127.0.0.1:{ports['http_options']}/readyz", trust_env=False)
    assert (ready.status_code, ready.json()["message"]) == (503, "no worker is connected")
    refused = httpx.get(f"http://127.0.0.1:{ports['remote']}/api/v1/worker", trust_env=False)
    assert refused.status_code == 426
    front.send_signal(signal.SIGTERM)
    assert front.wait(PATIENT_S) == 0
