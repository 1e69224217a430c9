"""Whose secret the commands of an admin send: that of the environment, or of the file that it names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.admin_api import ADMIN_SECRETS_ENV, Decisions
from serve_app.cli.admin.connection import AdminConnection, AdminError
from tests.unit.cli.admin_service import SECRET, AdminService, running_admin_service


@pytest.fixture(scope="module")
def service() -> Iterator[AdminService]:
    with running_admin_service() as started:
        yield started


@pytest.mark.parametrize("content", [f"alice:{SECRET}\nbob:another-secret-of-somebody\n", f"{SECRET},alice:other\n"])
def test_the_first_secret_of_a_file_is_sent(service: AdminService, tmp_path: Path, content: str) -> None:
    file = tmp_path / "secrets"
    file.touch(0o600)
    file.write_text(content, "ascii")
    connection = AdminConnection(service.url, {f"{ADMIN_SECRETS_ENV}_FILE": str(file)})
    assert connection.get(Decisions, "/decisions").decisions == []


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "no admin secret: set PICTWARDEN_ADMIN_SECRETS .*, or PICTWARDEN_ADMIN_SECRETS_FILE to its file"),
        (
            {f"{ADMIN_SECRETS_ENV}_FILE": "/nowhere/x"},
            "^PICTWARDEN_ADMIN_SECRETS_FILE names /nowhere/x, which",
        ),
        (
            {f"{ADMIN_SECRETS_ENV}_FILE": "/x", ADMIN_SECRETS_ENV: f"alice:{SECRET}"},
            "both PICTWARDEN_ADMIN_SECRETS",
        ),
    ],
)
def test_without_a_usable_one_the_way_out_is_told(environment: dict[str, str], told: str) -> None:
    with pytest.raises(AdminError, match=told) as caught:
        AdminConnection("http://127.0.0.1:9", environment)
    assert SECRET not in str(caught.value)
