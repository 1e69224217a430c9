"""A picture that passed, banned by an admin's command: purged from a real pict-rs, and refused when it comes back."""

from __future__ import annotations

import hashlib
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
from tests.e2e.pictrs.server import API_KEY, running_pictrs
from tests.e2e.pictrs.validating import Validation
from tests.serve.conftest import (
    ONE_PROCESS,
    ROOT,
    SECRET,
    environment_of_a_service,
    free_port,
    padded,
    running,
    wait_for,
)

ADMIN_SECRET = "alice:a-secret-of-an-admin-of-the-tests"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def both(_binary, tmp_path_factory):
    """A pict-rs and a Pictwarden that ask each other, and the environment of an admin's commands."""
    config = yaml.safe_load((ROOT / "deployments" / "local.yaml").read_text("utf-8"))
    port, admin_port = free_port(), free_port()
    config["http_options"]["port"] = port
    with running_pictrs(f"http://127.0.0.1:{port}/api/v1/scan/{SECRET}") as pictrs:
        config["applications"][0]["args"] |= {"pictrs": {"url": pictrs.url}, "admin": {"port": admin_port}}
        secrets = {ADMIN_SECRETS_ENV: ADMIN_SECRET, API_KEY_ENV: API_KEY}
        folder = tmp_path_factory.mktemp("service")
        with running(config, folder, ONE_PROCESS, env=environment_of_a_service(**secrets)) as service:
            # The key of pict-rs is the service's alone.
            yield pictrs, service, {ADMIN_SECRETS_ENV: ADMIN_SECRET, ADMIN_URL_ENV: f"http://127.0.0.1:{admin_port}"}


def landscape(length_bytes):
    """Always the same picture, and never the same bytes."""
    file = io.BytesIO()
    with Image.open(ROOT / "serve_app" / "cli" / "samples" / "landscape.jpg") as picture:
        picture.save(file, "PNG")
    return padded(file.getvalue(), length_bytes)


def test_a_banned_picture_is_purged_and_does_not_come_back(both, races, tmp_path):
    pictrs, service, environment = both
    validation = Validation(pictrs, service, races)

    def command(*arguments):
        result = subprocess.run(
            [sys.executable, "-m", "serve_app.cli", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    body = landscape(600_000)
    upload, _ = validation.upload(body)
    (alias,) = upload.aliases

    shown = command("ban", "--url", f"https://lemmy.example/pictrs/image/{alias}", "--reason", "spam")
    assert "would deny, in bank banned: sha256 and pdq" in shown
    assert pictrs.original(alias).content == body

    assert f"purged: {alias}" in command("ban", "--alias", alias, "--reason", "spam", "--purge")
    assert pictrs.original(alias).status_code == 404
    assert pictrs.hashes() == []

    for again in (body, landscape(610_000)):
        wait_for(lambda again=again: service.scan(again).status_code == 406, 10)
        upload, _ = validation.upload(again)
        assert (upload.status, upload.code) == (400, "failed-external-validation")
        told = command("why", hashlib.sha256(again).hexdigest())
        assert "list banned, entry" in told
        assert "spam" in told
