"""``pictwarden rescan`` where it cannot begin. Its work: tests/unit/storage and tests/e2e/pictrs/test_rescan.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.database.access import open_database
from serve_app.database.location import Location

PICTRS = {"url": "http://127.0.0.1:9"}
KEY = {"PICTWARDEN_PICTRS_API_KEY": "a-key"}
URL = "http://127.0.0.1:9/api/v1/scan/a-secret"


def rescan(folder: Path, args: dict[str, Any], *options: str, **environment: str) -> tuple[int, str, str]:
    file = folder / "config.yaml"
    document = {"applications": [{"import_path": "deployments.graph:build_app", "args": args}]}
    file.write_text(yaml.safe_dump(document), "utf-8")
    nothing = {"PICTWARDEN_URL": "", "PICTWARDEN_PICTRS_API_KEY": "", "STATE_DIRECTORY": str(folder)}
    done = CliRunner().invoke(app, ["rescan", "--config", str(file), *options], env=nothing | environment)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("args", "options", "environment", "said"),
    [
        ({"pictrs": PICTRS}, [], KEY, "no service is known here"),
        ({"ledger": "memory", "pictrs": PICTRS}, ["--url", URL], KEY, "name a database"),
        ({}, ["--url", URL], KEY, "pictrs.url is not set"),
        ({"pictrs": PICTRS}, ["--url", URL], {}, "set PICTWARDEN_PICTRS_API_KEY"),
        ({"pictrs": PICTRS}, ["--url", URL], KEY, "there is no ledger at"),
        ({"pictrs": {"url": "pictrs"}}, ["--url", URL], KEY, "pictrs.url: an address is written as"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path, args: dict[str, Any], options: list[str], environment: dict[str, str], said: str
) -> None:
    code, _, errors = rescan(tmp_path, args, *options, **environment)
    assert code == 2
    assert said in errors
    assert "a-secret" not in errors


def test_a_ledger_without_pending_decisions_asks_nobody(tmp_path: Path) -> None:
    database = open_database(Location(tmp_path, tmp_path / "ledger.db"))
    database.prepare()
    database.close()
    code, output, errors = rescan(tmp_path, {"pictrs": PICTRS}, "--url", URL, **KEY)
    assert (code, output, errors) == (0, "0 pending decisions\n", "")
