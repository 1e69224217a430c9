"""`pictwarden canary` writes the test picture; `pictwarden check --canary` proves that a service refuses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.domain.canary import CANARY_REASON
from serve_app.media.canary import canary_png

if TYPE_CHECKING:
    from tests.unit.cli.conftest import StandIn


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_it_is_written_where_nothing_is(folder: Path) -> None:
    result = run("canary", "out.png")
    assert result.exit_code == 0, result.output
    assert (folder / "out.png").read_bytes() == canary_png()


def test_it_overwrites_only_by_force(folder: Path) -> None:
    file = folder / "out.png"
    file.write_bytes(b"mine")
    result = run("canary", file)
    assert (result.exit_code, file.read_bytes()) == (2, b"mine")
    assert "--force" in result.output
    assert run("canary", "--force", file).exit_code == 0
    assert file.read_bytes() == canary_png()


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_where_it_cannot_be_written_is_said(folder: Path, options: tuple[str, ...]) -> None:
    result = run("canary", *options, folder / "nowhere" / "out.png")
    assert result.exit_code == 2
    assert "No such file or directory" in result.output


def test_a_service_that_lists_it_passes(folder: Path, service: StandIn) -> None:
    service.says = b"canary"
    result = run("check", "--canary", "--url", service.url)
    assert result.exit_code == 0, result.output
    assert "was refused, as it must be" in result.stdout
    assert service.bodies == [canary_png()]


@pytest.mark.parametrize(
    ("says", "exit_code", "told"),
    [
        (b"accept", 1, "the canary was not refused (verdict accept)"),
        (b"flag", 1, "the canary was not refused (verdict flag)"),
        (b"allowed", 1, "an allow entry decided (a mistake of the model): remove it"),
        (b"reject", 1, "by the policy (rule no-red) and not by the lists"),
        (b"denied", 1, "by another entry of the lists (seen before)"),
        (b"broken", 2, "the canary was not scanned (undecodable): not a readable image/png"),
        (b"unscanned", 2, "the canary was not scanned (deadline): stored unscanned"),
        (b"html", 2, "is not Pictwarden"),
    ],
)
def test_of_any_other_answer_it_says_what_is_wrong(
    folder: Path, service: StandIn, says: bytes, exit_code: int, told: str
) -> None:
    service.says = says
    result = run("check", "--canary", "--url", service.url)
    assert result.exit_code == exit_code
    assert told in result.stderr
    assert not result.stdout


def test_the_answer_is_printed_as_json(folder: Path, service: StandIn) -> None:
    service.says = b"canary"
    answer = json.loads(run("check", "--canary", "--json", "--url", service.url).stdout)
    assert (answer["verdict"], answer["reason"], answer["message"]) == ("reject", "listed", CANARY_REASON)


def test_a_busy_service_is_asked_again(folder: Path, service: StandIn) -> None:
    service.says, service.busy_for = b"canary", 2
    assert run("check", "--canary", "--url", service.url).exit_code == 0


def test_no_service_is_known(folder: Path) -> None:
    result = run("check", "--canary")
    assert result.exit_code == 2
    assert "no service is known here" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("--canary", "picture.png")])
def test_it_is_either_pictures_or_the_canary(folder: Path, arguments: tuple[str, ...]) -> None:
    result = run("check", "--url", "http://127.0.0.1:1/api/v1/scan/secret-of-the-tests", *arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr
    assert "--canary" in result.stderr
