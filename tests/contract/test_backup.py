"""``pictwarden backup`` copies a ledger that is in use, and the copy is a ledger."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.database.location import Location
from tests.contract.conftest import patient_ledger

if TYPE_CHECKING:
    from tests.contract.conftest import Made

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return tmp_path


def configured(folder: Path, ledger: str) -> str:
    file = folder / "config.yaml"
    file.write_text(f"applications: [{{import_path: x, args: {{ledger: '{ledger}'}}}}]", "utf-8")
    return str(file)


async def test_a_ledger_in_use_is_copied_whole(folder: Path, made: Made) -> None:
    ledger = patient_ledger(Location(folder / ".pictwarden", folder / ".pictwarden" / "ledger.db"))
    await ledger.record(made.decision(1))
    done = runner.invoke(app, ["backup", "copy.db"])
    assert (done.exit_code, done.output) == (0, "The ledger is copied to copy.db, which only you can read.\n")
    ledger.close()
    copy = folder / "copy.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    restored = patient_ledger(Location(folder, copy))
    found = await restored.get("r-1")
    assert found is not None
    assert found.decision == made.decision(1)
    restored.close()


async def test_a_file_that_is_there_is_never_written_over(folder: Path) -> None:
    patient_ledger(Location(folder, folder / "my.db")).close()
    (folder / "copy.db").write_text("precious", "ascii")
    done = runner.invoke(app, ["backup", "copy.db", "--config", configured(folder, "my.db")])
    assert done.exit_code == 2
    assert "copy.db is there already" in done.stderr
    assert (folder / "copy.db").read_text("ascii") == "precious"


async def test_nothing_of_a_copy_that_failed_is_in_the_way_of_the_next_one(folder: Path, made: Made) -> None:
    ledger = patient_ledger(Location(folder, folder / "my.db"))
    await ledger.record(made.decision(1))
    ledger.close()
    content = (folder / "my.db").read_bytes()
    half = len(content) // 2
    (folder / "my.db").write_bytes(content[:half] + b"\xff" * half)
    command = ["backup", "copy.db", "--config", configured(folder, "my.db")]
    failed = runner.invoke(app, command)
    assert (failed.exit_code, "cannot be used" in failed.stderr) == (2, True), failed.output
    assert not (folder / "copy.db").exists()
    (folder / "my.db").write_bytes(content)
    assert runner.invoke(app, command).exit_code == 0


@pytest.mark.parametrize(
    ("ledger", "message"),
    [
        ("memory", "there is nothing to back up"),
        (
            "postgresql://db.example/decisions",
            "postgresql://db.example/decisions is backed up with PostgreSQL's own pg_dump",
        ),
        ("nowhere.db", "there is no ledger at"),
    ],
)
def test_what_cannot_be_copied_says_what_to_do(folder: Path, ledger: str, message: str) -> None:
    done = runner.invoke(app, ["backup", "copy.db", "--config", configured(folder, ledger)])
    assert (done.exit_code, message in done.stderr) == (2, True), done.output
    assert not (folder / "copy.db").exists()
