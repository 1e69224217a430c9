"""From the clone to the first verdict, of a repository whose service is two lines of shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.first_verdict import NoVerdictError, measure

SERVES = 'run:\n\t@dd if=/dev/zero of=installed bs=1000 count=500 status=none\n\t@echo "$(ARGS)"; {then}\n'
# In the background: a shell waits for what runs in front of it before it does what a trap says.
VERDICT = (
    "trap 'touch ../stopped; kill $$!; exit 0' INT; echo PICTRS__MEDIA__EXTERNAL_VALIDATION=http://127.0.0.1/; "
    "sleep 600 & wait"
)


def repository(folder: Path, then: str) -> Path:
    folder.mkdir()
    (folder / "Makefile").write_text(SERVES.replace("{then}", then), "utf-8")
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "--message", "service")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_the_service_is_stopped_after_its_first_verdict_and_its_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "measured").mkdir()
    cost = measure(repository(tmp_path / "origin", VERDICT), tmp_path / "measured", "run")
    assert (tmp_path / "measured" / "stopped").exists()
    assert 500_000 < cost.disk_bytes < 2_000_000
    assert cost.elapsed_s > 0
    assert cost.received_bytes >= 0


def test_an_end_without_a_verdict_says_what_the_command_said(tmp_path: Path) -> None:
    (tmp_path / "measured").mkdir()
    with pytest.raises(NoVerdictError, match=r"(?s)`make run` ended without a verdict.*--port 1\n.*no room"):
        measure(repository(tmp_path / "origin", "echo no room; exit 1"), tmp_path / "measured", "run", "--port 1")
