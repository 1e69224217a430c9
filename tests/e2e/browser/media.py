"""The files that are tried: those that are generated, and those in folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tests.e2e.browser.chromium import Files

FOLDERS_ENV = "PICTWARDEN_MEDIA"
"""Folders with further files, separated as in ``PATH``. Unset in a fresh clone."""


def files_in(folders: Iterable[Path]) -> Files:
    """Path of each file in ``folders``: what reads it.

    Raises:
        FileNotFoundError: a folder is not there.
    """
    paths = [path for folder in folders for path in _paths(folder)]
    return {str(path): path.read_bytes for path in paths}


def _paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def folders_of_environment() -> list[Path]:
    """The folders that :data:`FOLDERS_ENV` names."""
    return [Path(folder) for folder in os.environ.get(FOLDERS_ENV, "").split(os.pathsep) if folder]
