"""One front for all tests of this folder, and what each needs to connect workers to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.remote.front import Front, config_of, secret_of, serving
from tests.e2e.remote.processes import Started, started
from tests.serve.conftest import free_port

NOTHING: Mapping[str, str] = {}

Working = Callable[..., contextlib.AbstractContextManager[Started]]


@pytest.fixture(scope="session")
def shared_front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    # On all addresses, since a worker in a network namespace has one of its own.
    remote = {"host": "0.0.0.0", "port": free_port()}
    with serving(config_of(folder, remote=remote), folder) as front:
        yield front


@pytest.fixture
async def front(shared_front: Front) -> Front:
    """The one of all tests, once the workers of the test before have left it."""
    await shared_front.has_worker(False)
    return shared_front


@pytest.fixture
def working(tmp_path: Path) -> Working:
    """``pictwarden worker`` as a process: ``working(url)``, ``working(url, "--name", "a", owner="rented")``."""

    def start(
        url: str,
        *options: str,
        owner: str = "home",
        model: str | None = "fake:1ms",
        prefix: tuple[str, ...] = (),
        environment: Mapping[str, str] = NOTHING,
    ) -> contextlib.AbstractContextManager[Started]:
        secret = tmp_path / f"{owner}.secret"
        secret.write_text(secret_of(owner), "utf-8")
        arguments = ["worker", "--url", url, "--secret-file", str(secret), *options]
        return started([*arguments, *(["--model", model] if model else [])], tmp_path, environment, prefix)

    return start
