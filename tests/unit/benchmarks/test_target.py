"""What may be loaded, and that no secret is told."""

from __future__ import annotations

import pytest
import typer

from benchmarks.command import command_line, is_loopback, require_goodput, scan_target, shown_url
from benchmarks.outcomes import Outcome

SECRET = "s3cret"


@pytest.mark.parametrize("host", ["127.0.0.1:14051", "127.8.9.1", "[::1]:80", "localhost:14051", "user:p@127.0.0.1"])
def test_this_machine(host: str) -> None:
    assert is_loopback(f"http://{host}/api/v1/scan/{SECRET}")
    assert scan_target(f"http://{host}/x", anywhere=False) == f"http://{host}/x"


@pytest.mark.parametrize(
    "host", ["192.168.0.7", "example.org", "localhost.example.org", "127.0.0.1.example.org", "[::2]"]
)
def test_another_machine_is_refused_unless_it_is_wanted(host: str, capsys) -> None:
    url = f"http://{host}/api/v1/scan/{SECRET}"
    with pytest.raises(typer.Exit) as ended:
        scan_target(url, anywhere=False)
    assert ended.value.exit_code == 2
    told = capsys.readouterr().out
    assert "--anywhere" in told
    assert SECRET not in told
    assert scan_target(url, anywhere=True) == url


def test_no_service_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PICTWARDEN_URL", raising=False)
    with pytest.raises(typer.Exit):
        scan_target(None, anywhere=False)
    assert "make run" in capsys.readouterr().out


@pytest.mark.parametrize("form", [("--url", "{}"), ("--url={}",)])
@pytest.mark.parametrize(
    "url",
    [f"http://127.0.0.1:1/api/v1/scan/{SECRET}", f"http://u:{SECRET}@h/scan/x", f"https://h/scan?key={SECRET}"],
)
def test_a_command_is_told_without_its_secrets(form: tuple[str, ...], url: str) -> None:
    command = command_line("latency", [*(part.format(url) for part in form), "--seed", "7"])
    assert command.startswith("python -m benchmarks latency --url")
    assert command.endswith("/... --seed 7")
    assert SECRET not in command


def test_a_url_is_shown_with_its_host() -> None:
    assert shown_url(f"http://u:p@127.0.0.1:14051/api/v1/scan/{SECRET}") == "http://127.0.0.1:14051/api/v1/scan/..."


def test_no_goodput_is_no_capacity(capsys) -> None:
    with pytest.raises(typer.Exit):
        require_goodput(0.0, [Outcome(0, 0, 1, 401, None, "unauthorised")])
    assert "401 unauthorised 1" in capsys.readouterr().out
    require_goodput(0.1, [])
