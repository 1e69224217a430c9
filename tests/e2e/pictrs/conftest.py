"""One Pictwarden for each way to run it, and in front of it one pict-rs for each of its modes.

By default these are one process and the dummy mode. With ``PICTWARDEN_E2E=all``, as ``make e2e`` has it, every test of
the fixtures ``way`` and ``mode`` also runs on Ray Serve, and with a pict-rs in full mode.
"""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from benchmarks.pictrs_process import BINARY, MISSING, Mode
from serve_app.admin_api import ADMIN_SECRETS_ENV
from serve_app.cli.admin.connection import ADMIN_URL_ENV
from serve_app.pictrs import API_KEY_ENV
from tests.e2e.pictrs.another_server import serving_pictures
from tests.e2e.pictrs.installation import missing_for_full_mode
from tests.e2e.pictrs.server import API_KEY, running_pictrs
from tests.e2e.pictrs.validating import ADMIN_SECRET, Races, Validation, scanning
from tests.serve.conftest import FAKE_POLICY, ONE_PROCESS, RAY, ROOT, SECRET, drawn, free_port, padded

IS_ALL = os.environ.get("PICTWARDEN_E2E") == "all"

RACES = Races()

_NUMBERS = itertools.count(40)


@pytest.fixture(scope="session", autouse=True)
def _binary():
    if not BINARY.is_file():
        pytest.skip(MISSING)


@pytest.fixture(scope="session", params=[ONE_PROCESS, RAY] if IS_ALL else [ONE_PROCESS])
def way(request):
    """How Pictwarden runs."""
    return request.param


@pytest.fixture(scope="session", params=list(Mode) if IS_ALL else [Mode.DUMMY])
def mode(request):
    """How pict-rs runs."""
    if request.param is Mode.FULL and (missing := missing_for_full_mode()):
        pytest.skip(missing)
    return request.param


@pytest.fixture(scope="session")
def scanner(_binary, way, tmp_path_factory):
    """Pictwarden with the preset starter. In one process, callers of the loopback need no secret at IPADDR."""
    config = local_config()
    if way == ONE_PROCESS:  # behind HAProxy every caller is of the loopback
        config["applications"][0]["args"]["authentication"] = {"trusted_networks": ["127.0.0.0/8"]}
    with scanning(config, tmp_path_factory.mktemp("service"), way) as started:
        yield started


@pytest.fixture(scope="session")
def service(scanner):
    return scanner.service


@pytest.fixture(scope="session")
def pictrs(scanner, mode):
    with running_pictrs(scanner.service.url, mode) as started:
        yield started


@pytest.fixture(scope="session")
def posted(_binary, mode):
    """What pict-rs posts of a file: what another one stores, which asks nobody. In dummy mode the file itself."""
    if mode is Mode.DUMMY:
        yield lambda body: body
        return
    known = {}
    with running_pictrs(mode=mode) as unguarded:

        def of(body):
            if body not in known:
                (alias,) = unguarded.upload(body).aliases
                known[body] = unguarded.original(alias).content
            return known[body]

        yield of


@pytest.fixture
def number():
    """Of a test's own pictures, and so are the 19 that follow."""
    return 20 * next(_NUMBERS)


@pytest.fixture
def validation(pictrs, scanner, races, posted):
    return Validation(pictrs, scanner, races, posted)


@pytest.fixture(scope="session")
def another_server():
    with serving_pictures() as another:
        yield another


@pytest.fixture(scope="module")
def both(_binary, tmp_path_factory):
    """A pict-rs and a Pictwarden that ask each other, and an admin's commands: ``command("why", alias)``.

    They run in the folder of the service's ``config.yaml``.
    """
    config = local_config()
    port, admin_port = config["http_options"]["port"], free_port()
    folder = tmp_path_factory.mktemp("service")
    with running_pictrs(f"http://127.0.0.1:{port}/api/v1/scan/{SECRET}") as pictrs:
        config["applications"][0]["args"] |= {
            "pictrs": {"url": pictrs.url},
            "admin": {"port": admin_port},
            "truncated": {"live": "scan"},
            "rescan": "off",
            "hunt": "off",
        }
        # The key of pict-rs is the service's alone.
        admins = {ADMIN_SECRETS_ENV: ADMIN_SECRET, ADMIN_URL_ENV: f"http://127.0.0.1:{admin_port}"}

        def command(*arguments, **environment):
            result = subprocess.run(
                [sys.executable, "-m", "serve_app.cli", *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **admins, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
                check=False,
            )
            assert result.returncode == 0, result.stdout
            return result.stdout

        with scanning(config, folder, **{API_KEY_ENV: API_KEY}) as scanner:
            yield pictrs, scanner, command


def local_config():
    """deployments/local.yaml on a port of its own."""
    config = yaml.safe_load((ROOT / "deployments" / "local.yaml").read_text("utf-8"))
    config["http_options"]["port"] = free_port()
    return config


def fake_config(folder, engine="fake", **args):
    """The same with an engine that has no weights: it rejects what is red. Its policy is written into ``folder``."""
    config = local_config()
    policy = folder / "fake.yaml"
    policy.write_text(FAKE_POLICY, "utf-8")
    own = {"preset": None, "model": {"source": engine}, "policy": str(policy)}
    config["applications"][0]["args"] |= {**own, **args}
    return config


def new_picture(length_bytes=10_000, colour="blue"):
    """A picture that was not uploaded before."""
    return padded(drawn(colour, size=(64, next(_NUMBERS))), length_bytes)


def landscape(length_bytes=None):
    """Always the same picture; of another length, other bytes."""
    file = io.BytesIO()
    with Image.open(ROOT / "serve_app" / "cli" / "samples" / "landscape.jpg") as picture:
        picture.save(file, "PNG")
    return padded(file.getvalue(), length_bytes) if length_bytes else file.getvalue()


@pytest.fixture(scope="session")
def races():
    return RACES


def pytest_terminal_summary(terminalreporter):
    if RACES.bodies:
        terminalreporter.write_line(
            f"pict-rs was to post {RACES.bodies} bodies; {RACES.races} of them it did not, or not whole"
        )
