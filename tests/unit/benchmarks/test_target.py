"""What may be loaded, and that no secret is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from benchmarks.command import is_loopback, require_goodput, scan_target, shown_arguments, started_with
from benchmarks.outcomes import Load, Outcome

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


@pytest.mark.parametrize("form", [("--baseline", "{}"), ("--baseline={}",)])
@pytest.mark.parametrize(
    "url",
    [f"http://127.0.0.1:1/api/v1/scan/{SECRET}", f"http://u:{SECRET}@h/scan/x", f"https://h/scan?key={SECRET}"],
)
def test_arguments_are_told_without_their_secrets(form: tuple[str, ...], url: str) -> None:
    told = " ".join(shown_arguments([*(part.format(url) for part in form), "--seed", "7"]))
    assert told.endswith("... --seed 7")
    assert SECRET not in told


@pytest.mark.parametrize("hidden", [("--out", "x.json"), ("--out=x.json",), ("--url", f"http://h/{SECRET}")])
def test_options_that_differ_from_run_to_run_are_not_told(hidden: tuple[str, ...]) -> None:
    assert shown_arguments(["--size", "2MB", *hidden, "--seed", "7"]) == ["--size", "2MB", "--seed", "7"]


def test_how_a_service_was_started_is_told_without_folders_and_ports() -> None:
    here, python = str(Path.cwd() / "benchmarks" / "a.yaml"), "/somewhere/.venv/bin/python3"
    assert started_with([python, "-m", "deployments.run", "--policy", here, "--port", "1"]) == (
        "python -m deployments.run --policy benchmarks/a.yaml"
    )
    assert started_with([python, "/x/bin/pictwarden", "serve"]) == "pictwarden serve"
    assert started_with([python, "-m", "serve_app.cli", "serve"]) == "pictwarden serve"


def test_no_goodput_is_no_capacity(capsys) -> None:
    with pytest.raises(typer.Exit):
        require_goodput(Load([Outcome(0, 0, 1, 401, None, "unauthorised")], window_s=2.0))
    assert "401 unauthorised 1" in capsys.readouterr().out
    scanned = Load([Outcome(0, 0, 1, 200, "accept", "policy")], window_s=2.0)
    assert require_goodput(scanned) is scanned
