"""A fetched classifier is in the cache whole and of one origin, or it is not found."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from serve_app.domain import ModelError
from serve_app.models.classifier_files import MODEL_FILE, ClassifierFiles, Origin

ORIGIN = Origin("made-up", "package 1.2.3", "ab" * 32, 1)


def write(folder: Path) -> None:
    (folder / MODEL_FILE).write_bytes(b"graph")
    (folder / "LICENSE").write_text("text", "ascii")


@pytest.fixture
def files(tmp_path: Path) -> ClassifierFiles:
    return ClassifierFiles(tmp_path)


def test_an_empty_cache_has_nothing(files: ClassifierFiles) -> None:
    assert files.find(ORIGIN) is None
    with pytest.raises(ModelError, match=r"classifier made-up is not in .*: run `pictwarden model fetch package`"):
        files.require(ORIGIN, "package")


def test_what_was_made_is_found_with_its_digest(files: ClassifierFiles, tmp_path: Path) -> None:
    made = files.make(ORIGIN, write)
    assert files.find(ORIGIN) == files.require(ORIGIN, "package") == made
    assert made.model.read_bytes() == b"graph"
    assert made.digest == hashlib.sha256(b"graph").hexdigest()
    assert made.folder.parent == tmp_path / "classifiers"
    assert {file.name for file in made.folder.iterdir()} == {"classifier.json", "LICENSE", MODEL_FILE}


@pytest.mark.parametrize(
    "changed", [{"classifier": "other"}, {"package": "package 1.2.4"}, {"package_sha256": "cd" * 32}, {"schema": 2}]
)
def test_another_origin_is_another_classifier(files: ClassifierFiles, changed: dict[str, str]) -> None:
    files.make(ORIGIN, write)
    assert files.find(replace(ORIGIN, **changed)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["truncated", "missing", "added", "foreign", "undescribed", "no object"])
def test_what_is_not_whole_is_not_found_and_made_anew(files: ClassifierFiles, damage: str) -> None:
    folder = files.make(ORIGIN, write).folder
    described = folder / "classifier.json"
    match damage:
        case "truncated":
            (folder / MODEL_FILE).write_bytes(b"gra")
        case "missing":
            (folder / "LICENSE").unlink()
        case "added":
            (folder / "other").touch()
        case "foreign":
            described.write_text(described.read_text("utf-8").replace("1.2.3", "1.2.4"), "utf-8")
        case "undescribed":
            described.unlink()
        case "no object":
            described.write_text("[1]", "utf-8")
    assert files.find(ORIGIN) is None
    assert files.make(ORIGIN, write) == files.find(ORIGIN)
    assert [each for each in folder.parent.iterdir() if each != folder] == [], "the broken one is gone"


def test_one_that_fails_leaves_nothing(files: ClassifierFiles, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.make(ORIGIN, fail)
    assert files.find(ORIGIN) is None
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_two_that_make_the_same_at_once_both_have_it(files: ClassifierFiles) -> None:
    both_wrote = Barrier(2)

    def together(folder: Path) -> None:
        write(folder)
        both_wrote.wait(10)

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda _: files.make(ORIGIN, together), range(2))
    assert one == other == files.find(ORIGIN)


def test_the_default_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = ClassifierFiles(None).make(ORIGIN, write)
    assert made.folder.parent == tmp_path / "pictwarden" / "classifiers"
