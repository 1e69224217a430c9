"""`pictwarden model fetch`: what it prints, and the exit code that a script goes by."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.cli.models import fetching
from serve_app.cli.models.fetching import Fetchable
from serve_app.models.classifier_files import FetchedClassifier
from serve_app.models.packages import OnProgress


def model_fetch(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["model", "fetch", *map(str, arguments)])


def test_each_classifier_is_printed_with_its_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[Path | None, Path | None]] = []

    def fetch(cache_folder: Path | None, given: Path | None, on_progress: OnProgress) -> list[FetchedClassifier]:
        on_progress("fetching", 0.5)
        asked.append((cache_folder, given))
        return [FetchedClassifier(name, tmp_path / name, {"model.onnx": name * 2}) for name in ("one", "two")]

    monkeypatch.setattr(fetching, "_FETCHERS", {Fetchable.NSFWJS: fetch})
    result = model_fetch("nsfwjs", "--from", "file.tgz", "--cache-folder", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"one: {tmp_path}/one/model.onnx (sha256 oneone)",
        f"two: {tmp_path}/two/model.onnx (sha256 twotwo)",
    ]
    assert asked == [(tmp_path, Path("file.tgz"))]


def test_another_file_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"another")
    result = model_fetch("nsfwjs", "--from", tmp_path / "file", "--cache-folder", tmp_path / "cache")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is not nsfwjs-4.4.0.tgz as published" in result.stderr
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fetch(cache_folder: Path | None, given: Path | None, on_progress: OnProgress) -> list[FetchedClassifier]:
        (tmp_path / "file" / "folder").mkdir()
        return []

    (tmp_path / "file").touch()
    monkeypatch.setattr(fetching, "_FETCHERS", {Fetchable.NSFWJS: fetch})
    result = model_fetch("nsfwjs")
    assert result.exit_code == 2
    assert "Not a directory" in result.stderr


def test_the_age_says_what_is_not_known_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fetched = FetchedClassifier("age", tmp_path, {"model.onnx": "ab"})
    monkeypatch.setattr(fetching, "_FETCHERS", {Fetchable.AGE: lambda *_: [fetched]})
    result = model_fetch("age")
    assert result.exit_code == 0
    assert "an indicator of how old a face looks: its accuracy on children is unknown" in result.stderr
