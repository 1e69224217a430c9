"""One Pictwarden and one pict-rs for each module; a test that needs another pict-rs starts it beside them."""

from __future__ import annotations

import pytest
import yaml

from tests.e2e.pictrs.installation import BINARY, MISSING
from tests.e2e.pictrs.server import running_pictrs
from tests.e2e.pictrs.validating import Races, Validation
from tests.serve.conftest import ONE_PROCESS, ROOT, free_port, running

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
