"""The files below a folder: in order, one folder's names at a time, and nothing that is missed in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve_app.cli.pictures import pictures_in


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    make(tmp_path, "b/z.png", "b/a.png", "a/deep/er.gif", "c.webp", "a.png", "a/x.png")
    found = list(pictures_in([tmp_path]))
    assert found == sorted(found)
    assert len(found) == 6


def test_the_first_file_is_given_before_the_next_folder_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/1.png", "b/2.png")
    read: list[Path] = []
    scandir = os.scandir

    def recorded(folder: Path) -> object:
        read.append(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", recorded)
    found = pictures_in([tmp_path])
    assert next(found) == tmp_path / "a/1.png"
    assert read == [tmp_path, tmp_path / "a"]


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "open/1.png", "shut/2.png")
    scandir = os.scandir

    def guarded(folder: Path) -> object:
        if folder.name == "shut":
            raise PermissionError
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    assert list(pictures_in([tmp_path])) == [tmp_path / "open/1.png", tmp_path / "shut"]


def test_a_link_to_a_folder_is_not_followed_and_one_to_a_file_is(tmp_path: Path) -> None:
    make(tmp_path, "pictures/1.png")
    (tmp_path / "pictures" / "around").symlink_to(tmp_path / "pictures")
    (tmp_path / "pictures" / "link.png").symlink_to(tmp_path / "pictures" / "1.png")
    assert [each.name for each in pictures_in([tmp_path / "pictures"])] == ["1.png", "link.png"]


def test_a_missing_path_is_said_before_the_first_file_is_given(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    with pytest.raises(FileNotFoundError, match="missing"):
        pictures_in([tmp_path / "a.png", tmp_path / "missing"])
