"""``pictwarden storage report --who``: who uploaded what a scan of pict-rs has found, beside a stand-in for Lemmy."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.database.location import Location
from serve_app.ledger import open_ledger
from serve_app.lemmy import TOKEN_ENV
from serve_app.storage.scan.journal import open_journal
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.source import StoredFile
from tests.contract.lemmy.stand_in import TOKEN, lemmy_standing_in

PICTRS = "http://127.0.0.1:8080"
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def location(tmp_path: Path) -> Location:
    """A ledger, and the journal of a scan of pict-rs."""
    location = Location(tmp_path, tmp_path / "ledger.db")
    open_ledger(location).close()
    outcomes = (FileOutcome.ACCEPTED, FileOutcome.REJECTED, FileOutcome.PURGED)
    with contextlib.closing(open_journal(location, f"pictrs:{PICTRS}")) as journal:
        journal.add(
            [
                FileRecord(StoredFile(each, 3, "", aliases=(f"{each}.png",)), each, NOON, "It is red.")
                for each in outcomes
            ]
        )
    return location


async def report(location: Location, *options: str, lemmy_url: str | None = None) -> tuple[int, str, str]:
    args = {"ledger": str(location.file), "pictrs": {"url": PICTRS}, "lemmy": {"url": lemmy_url}}
    file = location.spool_folder / "config.yaml"
    document = {"applications": [{"import_path": "deployments.graph:build_app", "args": args}]}
    file.write_text(yaml.safe_dump(document), "utf-8")
    arguments = ["storage", "report", "pictrs:", "--config", str(file), *options]
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env={TOKEN_ENV: TOKEN})
    return done.exit_code, done.stdout, done.stderr


async def test_who_uploaded_a_picture_is_told_if_it_is_asked_for(location: Location) -> None:
    async with lemmy_standing_in("v3") as lemmy:
        for alias in ("accepted.png", "rejected.png", "another.png"):
            lemmy.upload(alias)
        code, told, _ = await report(location, "--who", "--json", lemmy_url=lemmy.url)
        people = {fields["outcome"]: fields["uploaded_by"] for fields in map(json.loads, told.splitlines())}
        assert code == 0
        assert len(people["rejected"]) == 1
        assert people["rejected"][0].startswith("alice@")
        assert people["purged"] == []
        asked = len(lemmy.requests)
        assert "alice" not in (await report(location, lemmy_url=lemmy.url))[1]
        assert len(lemmy.requests) == asked


async def test_without_lemmy_nobody_can_be_named(location: Location) -> None:
    code, _, said = await report(location, "--who")
    assert (code, "lemmy.url is not set" in said) == (2, True)
