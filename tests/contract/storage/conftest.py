"""Every store of files, each with the real server that it speaks to."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from tests.contract.storage.places import Place
from tests.contract.storage.sshd import Sshd, missing, running_sshd
from tests.contract.storage.versity import BINARY, KEY, MISSING, SECRET, running_versitygw

BUCKET = "pictures"


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if why := missing():
        pytest.skip(why)
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("buckets")
    (folder / BUCKET).mkdir()
    return folder


@pytest.fixture(scope="session")
def versitygw(buckets: Path) -> Iterator[str]:
    if not BINARY.is_file():
        pytest.skip(MISSING)
    with running_versitygw(buckets) as url:
        yield url


@pytest.fixture
def as_user(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """The server, and this process as a user whom it lets in."""
    monkeypatch.setenv("HOME", str(sshd.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return sshd


@pytest.fixture
def with_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment as an admin has it, without what this machine has."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def s3(versitygw: str, with_credentials: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of its own for the tests, which is not the one that is tested."""
    del with_credentials
    monkeypatch.setenv("AWS_ENDPOINT_URL", versitygw)
    return botocore.session.get_session().create_client("s3")


@pytest.fixture(params=["folder", "s3", "sftp"])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Place]:
    """Makes an empty store of each kind, as often as a test wants one."""
    kind, number = request.param, itertools.count()
    if kind == "s3":
        client, in_bucket = request.getfixturevalue("s3"), request.getfixturevalue("buckets") / BUCKET
    server: Sshd | None = request.getfixturevalue("as_user") if kind == "sftp" else None

    def make() -> Place:
        if kind == "s3":
            prefix = uuid.uuid4().hex
            return Place(f"s3://{BUCKET}/{prefix}", in_bucket / prefix, client, BUCKET)
        folder = tmp_path / f"store{next(number)}"
        folder.mkdir()
        return Place(f"file:{folder}" if server is None else server.url(folder), folder)

    return make


@pytest.fixture
def place(new_place: Callable[[], Place]) -> Place:
    return new_place()
