"""The files that are tried: those that are generated, and those in folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

FOLDERS_ENV = "PICTWARDEN_MEDIA"
"""Folders with further files, separated as in ``PATH``. Unset in a fresh clone."""


def files_in(folders: Iterable[Path]) -> dict[str, Callable[[], bytes]]:
    """Path of each file in ``folders``: what reads it.

    Raises:
        FileNotFoundError: a folder is not there.
    """
    found: dict[str, Callable[[], bytes]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}")
        found |= {str(path): path.read_bytes for path in sorted(folder.rglob("*")) if path.is_file()}
    return found


def folders_of_environment() -> list[Path]:
    """The folders that :data:`FOLDERS_ENV` names."""
    return [Path(folder) for folder in os.environ.get(FOLDERS_ENV, "").split(os.pathsep) if folder]
