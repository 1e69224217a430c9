"""The commands of docs/install-compose.md that need no Docker, given in a copy of its folder."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from serve_app.admin_api import ADMIN_SECRETS_ENV
from tests.documentation.pages import ROOT, commands_of
from tests.documentation.terminal import Terminal

OF_OTHERS = ("docker compose ", "docker run ", "git pull", "make pin-images ")
USER_OF_THE_IMAGE = 10001


@pytest.mark.skipif(os.geteuid() != 0, reason="a reader gives these commands as root")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed here")
def test_the_files_are_made_as_the_container_reads_them(tmp_path: Path) -> None:
    folder = tmp_path / "compose"
    shutil.copytree(ROOT / "examples" / "compose", folder, ignore=shutil.ignore_patterns(".env", "secrets"))
    terminal = Terminal(folder, {})
    lines = [line for fence in commands_of("docs/install-compose.md") for line in fence.lines()]
    for line in lines:
        if not line.startswith(OF_OTHERS):
            terminal.give(line)
    assert ADMIN_SECRETS_ENV in (folder / ".env").read_text("utf-8")
    secrets = folder / "secrets" / "admins"
    name, _, secret = secrets.read_text("utf-8").strip().partition(":")
    assert (name, len(secret)) == ("alice", 48)
    for each, mode in ((secrets, 0o400), (secrets.parent, 0o500)):
        assert (each.stat().st_uid, stat.S_IMODE(each.stat().st_mode)) == (USER_OF_THE_IMAGE, mode)
