"""A running service about which every metric has something to tell, and a real Prometheus that reads it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from serve_app.admin_api import ADMIN_PATH, ADMIN_SECRETS_ENV
from tests.serve.conftest import (
    ONE_PROCESS,
    RAY,
    ROOT,
    SECRET,
    Service,
    environment_of_a_service,
    free_port,
    running,
    wait_for,
)

EXAMPLES = ROOT / "examples" / "observability"
ADMIN_SECRET = "a-secret-of-an-admin-of-the-tests"
OTHER_SECRET = "a-secret-of-another-instance"
TARGET = "127.0.0.1:14053"

MISSING = "Prometheus is not installed (.ci/run says how to get it from Debian without starting it)"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(MISSING)
    return found


class Prometheus:
    """What a test asks of it."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **params: str) -> Any:
        answer = httpx.get(f"{self._root}/api/v1/{path}", params=params, timeout=30).raise_for_status().json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def is_up(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return bool(self.ask("query", query='up{job="pictwarden"} == 1')["result"])
        return False

    def names(self) -> set[str]:
        return set(self.ask("label/__name__/values"))


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the configuration whose service has another port, and that is read more often."""
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copy(EXAMPLES / "rules.yml", folder)
    text = (EXAMPLES / "prometheus.yml").read_text("utf-8")
    assert text.count(TARGET) == text.count("scrape_interval: 15s") == text.count("evaluation_interval: 15s") == 1
    text = text.replace(TARGET, f"127.0.0.1:{free_port()}").replace("interval: 15s", "interval: 1s")
    (folder / "prometheus.yml").write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module", params=[ONE_PROCESS, RAY])
def service(
    request: pytest.FixtureRequest, examples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """With the preset demo, in both ways of running; a picture of each kind was sent."""
    program("prometheus")
    scraped = yaml.safe_load((examples / "prometheus.yml").read_text("utf-8"))["scrape_configs"][0]
    metrics_port = int(scraped["static_configs"][0]["targets"][0].rpartition(":")[2])
    config = yaml.safe_load((ROOT / "deployments" / "local.yaml").read_text("utf-8"))
    config["http_options"]["port"] = free_port()
    admin_port = free_port()
    ports = {"metrics": {"port": metrics_port}, "admin": {"port": admin_port}}
    # Quotas are told of sources that have one.
    sources = {"sources": {"other": {"secrets_env": "SECRET_OF_OTHER", "quota_per_minute": 60}}}
    config["applications"][0]["args"] |= {"preset": "demo", **ports, **sources}
    secrets = {ADMIN_SECRETS_ENV: f"alice:{ADMIN_SECRET}", "SECRET_OF_OTHER": OTHER_SECRET}
    env = environment_of_a_service(**secrets)
    with running(config, tmp_path_factory.mktemp("service"), request.param, env=env) as started:
        send_every_kind(started.url, f"http://127.0.0.1:{admin_port}{ADMIN_PATH}")
        yield started


def send_every_kind(url: str, admin: str) -> None:
    """An accepted, a rejected, a known, a listed and a broken picture."""
    samples = ROOT / "serve_app" / "cli" / "samples"
    harmless, triangle = (samples / name for name in ("landscape.jpg", "red-triangle.png"))
    with httpx.Client(timeout=30, trust_env=False) as client:

        def sent(content: bytes) -> httpx.Response:
            return client.post(url, content=content)

        first, again = sent(harmless.read_bytes()), sent(harmless.read_bytes())
        assert (first.status_code, again.status_code) == (200, 200)
        assert sent(triangle.read_bytes()).status_code == 406
        of_other = client.post(url.replace(SECRET, OTHER_SECRET), content=triangle.read_bytes())
        assert of_other.status_code == 406
        assert sent(harmless.read_bytes()[:3000]).status_code == 422
        fingerprint = {"type": "sha256", "hash": first.json()["sha256"]}
        entry = {"kind": "deny", "reason": "on trial", "fingerprints": [fingerprint]}
        headers = {"authorization": f"Bearer {ADMIN_SECRET}"}
        client.post(f"{admin}/lists/entries", json=entry, headers=headers).raise_for_status()
        wait_for(lambda: sent(harmless.read_bytes()).json()["reason"] == "listed")


@pytest.fixture(scope="module")
def prometheus(examples: Path, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real one, which has read the service."""
    port = free_port()
    command = [program("prometheus"), f"--config.file={examples / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={tmp_path_factory.mktemp('data')}", f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen(command, cwd=examples, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asked = Prometheus(port)
        wait_for(asked.is_up)
        yield asked
    finally:
        process.terminate()
        process.wait(30)
