"""Every picture of a real pict-rs, scanned by the command: what is rejected goes, once, and nothing else.

By default of 200 pictures 10 have to go; with ``PICTWARDEN_E2E=all``, of 2,000 pictures 40.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serve_app.admin_api import ADMIN_SECRETS_ENV
from serve_app.cli.admin.connection import ADMIN_URL_ENV
from serve_app.cli.local_service import URL_ENV
from serve_app.pictrs import API_KEY_ENV
from tests.e2e.pictrs.conftest import IS_ALL, fake_config, new_picture
from tests.e2e.pictrs.server import API_KEY, running_pictrs
from tests.e2e.pictrs.validating import ADMIN_SECRET, scanning
from tests.serve.conftest import ONE_PROCESS, drawn, environment_of_a_service, padded

PICTURES, REJECTED = (2_000, 40) if IS_ALL else (200, 10)
KILLS = 10
UPLOADS_AT_ONCE = 8

pytestmark = [pytest.mark.timeout(600), pytest.mark.parametrize("way", [ONE_PROCESS], indirect=True)]


@pytest.fixture
def unguarded(_binary):
    """A pict-rs that asks nobody."""
    with running_pictrs() as started:
        yield started


@pytest.fixture
def scanner(unguarded, way, tmp_path):
    """A Pictwarden that rejects what is red, and knows where this pict-rs is."""
    with scanning(fake_config(tmp_path, pictrs={"url": unguarded.url}), tmp_path, way) as started:
        yield started


@dataclass(frozen=True)
class Admin:
    """Whose commands run in the folder of the service, beside it."""

    folder: Path
    environment: Mapping[str, str]

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command, until the block ends."""
        line = [sys.executable, "-m", "serve_app.cli", *arguments]
        with (
            self._log.open("w") as log,
            subprocess.Popen(
                line, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def finished(self, *arguments: str) -> str:
        """The output of a command that succeeds."""
        with self.started(*arguments) as process:
            text, _ = process.communicate(timeout=300)
        assert process.returncode == 0, self.said
        return text

    @property
    def said(self) -> str:
        """The errors of the latest command."""
        return self._log.read_text()

    @property
    def _log(self) -> Path:
        return self.folder / "command.log"


@pytest.fixture
def admin(scanner, tmp_path):
    return Admin(
        tmp_path,
        environment_of_a_service(
            **{
                API_KEY_ENV: API_KEY,
                URL_ENV: scanner.service.url,
                ADMIN_URL_ENV: f"http://127.0.0.1:{scanner.admin.base_url.port}",
                ADMIN_SECRETS_ENV: ADMIN_SECRET,
            }
        ),
    )


SCAN = ("storage", "scan", "pictrs:", "--config", "config.yaml", "--json", "--on-reject")


def test_each_rejected_picture_is_purged_once_however_often_the_scan_is_killed(unguarded, admin):
    numbers = random.Random(17)
    red = set(numbers.sample(range(PICTURES), REJECTED))
    bodies = [padded(drawn("red" if each in red else "blue"), 1_000 + each) for each in range(PICTURES)]
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        uploads = list(pool.map(unguarded.upload, bodies))
    assert all(each.is_stored for each in uploads)
    rejected = {sha256(bodies[each]): uploads[each].aliases for each in red}

    told: list[dict[str, Any]] = []
    for kill in range(KILLS):
        undone = PICTURES - len({each["file"] for each in told})
        files = numbers.randint(1, max(1, 2 * undone // (KILLS - kill + 1)))
        with admin.started(*SCAN, "purge") as process:
            lines = list(itertools.islice(process.stdout, files))
            process.kill()
            lines += process.stdout
        assert len(lines) >= files, admin.said
        told += map(json.loads, lines)
    told += map(json.loads, admin.finished(*SCAN, "purge").splitlines())

    left = Counter(each["hex"][:64] for each in unguarded.hashes())
    assert left == Counter(set(map(sha256, bodies)) - rejected.keys())
    purges = [json.loads(line) for line in admin.finished("purges", "--json").splitlines()]
    assert {each["sha256"] for each in purges} == rejected.keys()
    purged = Counter(alias for each in purges for alias in each["purged"])
    assert max(purged.values()) == 1
    assert purged.keys() <= {alias for aliases in rejected.values() for alias in aliases}
    assert {each["outcome"] for each in told} <= {"accepted", "purged", "gone", "unreadable"}
    assert admin.finished(*SCAN, "purge") == ""


def test_pictures_of_other_servers_are_scanned_too_and_the_quarantine_is_a_list(unguarded, admin, another_server):
    red = [padded(drawn("red", size=(48, 64)), 5_000 + each) for each in range(2)]
    (alias,), calm = unguarded.upload(red[0]).aliases, new_picture()
    assert unguarded.import_(red[0], "from-elsewhere.png").is_stored
    assert unguarded.upload(calm).is_stored
    proxied = another_server.url_of("/proxied.png", red[1])
    assert unguarded.proxied(proxied).content == red[1]

    lines = list(map(json.loads, admin.finished(*SCAN, "quarantine").splitlines()))
    assert {each["sha256"]: each["outcome"] for each in lines if each["outcome"] != "accepted"} == {
        sha256(body): "quarantined" for body in red
    }
    assert {alias, "from-elsewhere.png"} in [set(each["aliases"]) for each in lines]
    assert unguarded.original(alias).status_code == 404
    assert not [body for body in red if unguarded.aliases_of(sha256(body))]
    assert unguarded.aliases_of(sha256(calm))
    exported = admin.finished("list", "export", "--bank", "quarantined")
    assert all(sha256(body) in exported for body in red)


def sha256(body):
    return hashlib.sha256(body).hexdigest()
