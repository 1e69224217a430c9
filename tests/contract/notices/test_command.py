"""`pictwarden notices test`, as docs/notices.md shows it: the real Apprise, and stand-ins."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.notices.sending import AppriseProcess
from tests.contract.notices.stand_ins import HOOK, TOKEN, TOPIC, HttpStandIn, http_stand_in
from tests.documentation.pages import commands_of
from tests.documentation.terminal import Terminal

ROOT = Path(__file__).parents[3]
SECRET = "ntfys://hush-hush-hush@host/topic"


@pytest.fixture
async def http() -> AsyncIterator[HttpStandIn]:
    async with http_stand_in() as stand_in:
        yield stand_in


async def run(urls: str, *options: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "serve_app.cli", "notices", "test", *options),
        env={**os.environ, "PICTWARDEN_NOTICE_URLS": urls},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.mark.slow
async def test_it_says_of_each_address_what_became_of_the_message(http: HttpStandIn, tmp_path: Path) -> None:
    pytest.importorskip("apprise", reason="the extra notices is not installed")
    ntfy, webhook = f"ntfy://{TOKEN}@{http.address}/{TOPIC}", f"json://{http.address}/{HOOK}"
    terminal = Terminal(tmp_path, {"PICTWARDEN_NOTICE_URLS": f"{ntfy} {webhook}"})
    await asyncio.to_thread(terminal.follow, commands_of("docs/notices.md"))
    assert [each.title for each in http.ntfy] == ["Pictwarden: a test"]
    code, output = await run(f"{webhook},{ntfy.replace(TOPIC, 'another-topic')}")
    assert (code, output) == (
        1,
        "notice URL 1 (JSON): delivered\nnotice URL 2 (ntfy): the server answered 403 Forbidden\n",
    )


def test_without_an_address_it_says_where_to_write_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MY_URLS", raising=False)
    config = tmp_path / "config.yaml"
    application = "{name: pictwarden, import_path: x, args: {notices: {urls_env: MY_URLS}}}"
    config.write_text(f"applications: [{application}]", "utf-8")
    result = CliRunner().invoke(app, ["notices", "test", "--config", str(config)])
    assert result.exit_code == 2
    assert "set MY_URLS in the environment" in result.output


def test_without_apprise_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTWARDEN_NOTICE_URLS", SECRET)
    monkeypatch.setattr(AppriseProcess, "is_possible", staticmethod(lambda: False))
    result = CliRunner().invoke(app, ["notices", "test"])
    assert result.exit_code == 2
    assert "'.[notices]'" in result.output
    assert "hush" not in result.output
