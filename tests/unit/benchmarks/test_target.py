"""What may be loaded, and that no secret is told."""

from __future__ import annotations

from io import StringIO

import pytest
import typer
from rich.console import Console

from benchmarks.outcomes import Outcome
from benchmarks.target import command_line, is_loopback, require_goodput, scan_target, shown_url

SECRET = "s3cret"


def quiet() -> Console:
    return Console(file=StringIO(), width=200)


def told(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("host", ["127.0.0.1:14051", "127.8.9.1", "[::1]:80", "localhost:14051", "user:p@127.0.0.1"])
def test_this_machine(host: str) -> None:
    assert is_loopback(f"http://{host}/api/v1/scan/{SECRET}")
    assert scan_target(f"http://{host}/x", anywhere=False, console=quiet()) == f"http://{host}/x"


@pytest.mark.parametrize(
    "host", ["192.168.0.7", "example.org", "localhost.example.org", "127.0.0.1.example.org", "[::2]"]
)
def test_another_machine_is_refused_unless_it_is_wanted(host: str) -> None:
    console, url = quiet(), f"http://{host}/api/v1/scan/{SECRET}"
    with pytest.raises(typer.Exit) as ended:
        scan_target(url, anywhere=False, console=console)
    assert ended.value.exit_code == 2
    assert "--anywhere" in told(console)
    assert SECRET not in told(console)
    assert scan_target(url, anywhere=True, console=console) == url


def test_no_service_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PICTWARDEN_URL", raising=False)
    console = quiet()
    with pytest.raises(typer.Exit):
        scan_target(None, anywhere=False, console=console)
    assert "make run" in told(console)


@pytest.mark.parametrize("form", [("--url", "{}"), ("--url={}",)])
@pytest.mark.parametrize(
    "url",
    [f"http://127.0.0.1:1/api/v1/scan/{SECRET}", f"http://u:{SECRET}@h/scan/x", f"https://h/scan?key={SECRET}"],
)
def test_a_command_is_told_without_its_secrets(form: tuple[str, ...], url: str) -> None:
    command = command_line("latency", [*(part.format(url) for part in form), "--seed", "7"])
    assert command.startswith("python -m benchmarks.latency --url")
    assert command.endswith("/... --seed 7")
    assert SECRET not in command


def test_a_url_is_shown_with_its_host() -> None:
    assert shown_url(f"http://u:p@127.0.0.1:14051/api/v1/scan/{SECRET}") == "http://127.0.0.1:14051/api/v1/scan/..."


def test_no_goodput_is_no_capacity() -> None:
    console = quiet()
    with pytest.raises(typer.Exit):
        require_goodput(0.0, [Outcome(0, 0, 1, 401, None, "unauthorised")], console)
    assert "401 unauthorised 1" in told(console)
    require_goodput(0.1, [], console)
