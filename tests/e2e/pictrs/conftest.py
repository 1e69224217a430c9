"""One Pictwarden and one pict-rs for each module; a test that needs another pict-rs starts it beside them."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from serve_app.admin_api import ADMIN_SECRETS_ENV
from serve_app.cli.admin_connection import ADMIN_URL_ENV
from serve_app.pictrs import API_KEY_ENV
from tests.e2e.pictrs.installation import BINARY, MISSING
from tests.e2e.pictrs.server import API_KEY, running_pictrs
from tests.e2e.pictrs.validating import Races, Validation
from tests.serve.conftest import ONE_PROCESS, ROOT, SECRET, environment_of_a_service, free_port, padded, running

ADMIN_SECRET = "alice:a-secret-of-an-admin-of-the-tests"

RACES = Races()


@pytest.fixture(scope="session", autouse=True)
def _binary():
    if not BINARY.is_file():
        pytest.skip(MISSING)


@pytest.fixture(scope="module")
def service(_binary, tmp_path_factory):
    """Pictwarden in one process with the preset starter; callers of the loopback need no secret at IPADDR."""
    config = yaml.safe_load((ROOT / "deployments" / "local.yaml").read_text("utf-8"))
    config["http_options"]["port"] = free_port()
    config["applications"][0]["args"]["authentication"] = {"trusted_networks": ["127.0.0.0/8"]}
    with running(config, tmp_path_factory.mktemp("service"), ONE_PROCESS) as started:
        yield started


@pytest.fixture(scope="module")
def pictrs(service):
    with running_pictrs(service.url) as started:
        yield started


@pytest.fixture(scope="module")
def both(_binary, tmp_path_factory):
    """A pict-rs and a Pictwarden that ask each other, and an admin's commands: ``command("why", alias)``."""
    config = yaml.safe_load((ROOT / "deployments" / "local.yaml").read_text("utf-8"))
    port, admin_port = free_port(), free_port()
    config["http_options"]["port"] = port
    folder = tmp_path_factory.mktemp("service")
    with running_pictrs(f"http://127.0.0.1:{port}/api/v1/scan/{SECRET}") as pictrs:
        config["applications"][0]["args"] |= {
            "pictrs": {"url": pictrs.url},
            "admin": {"port": admin_port},
            "truncated": {"live": "scan"},
            "rescan": "off",
        }
        # The key of pict-rs is the service's alone.
        admins = {ADMIN_SECRETS_ENV: ADMIN_SECRET, ADMIN_URL_ENV: f"http://127.0.0.1:{admin_port}"}

        def command(*arguments):
            result = subprocess.run(
                [sys.executable, "-m", "serve_app.cli", *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **admins},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
                check=False,
            )
            assert result.returncode == 0, result.stdout
            return result.stdout

        secrets = {ADMIN_SECRETS_ENV: ADMIN_SECRET, API_KEY_ENV: API_KEY}
        with running(config, folder, ONE_PROCESS, env=environment_of_a_service(**secrets)) as service:
            yield pictrs, service, command


def landscape(length_bytes=None):
    """Always the same picture; of another length, other bytes."""
    file = io.BytesIO()
    with Image.open(ROOT / "serve_app" / "cli" / "samples" / "landscape.jpg") as picture:
        picture.save(file, "PNG")
    return padded(file.getvalue(), length_bytes) if length_bytes else file.getvalue()


@pytest.fixture(scope="session")
def races():
    return RACES


@pytest.fixture
def validation(pictrs, service, races):
    return Validation(pictrs, service, races)


def pytest_terminal_summary(terminalreporter):
    if RACES.bodies:
        terminalreporter.write_line(
            f"pict-rs posted {RACES.bodies} bodies; {RACES.races} of them were empty or cut, and were sent again"
        )
