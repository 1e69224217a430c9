"""The files that a command is given, one after the other, however many there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def pictures_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among ``paths`` and all files below the folders among them, in order; hidden ones are left out.

    The names of one folder at a time are in memory. A folder that cannot be read is given as if it were a file: who
    opens it learns why, and it is not taken for an empty one. Links to folders are not followed.

    Raises:
        FileNotFoundError: a path does not exist; before the first file is given.
    """
    given = list(paths)
    for path in given:
        if not os.path.lexists(path):
            raise FileNotFoundError(path)
    return _files(given)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        # Only what is hidden below the folder is left out: its own path may well go through `..` or `.cache`.
        yield from _files_below(path) if _is(Path.is_dir, path) else (path,)


def _files_below(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            # Names and one bit each, since the entries themselves take ten times the memory.
            found = sorted((each.name, _is_folder(each)) for each in entries if not each.name.startswith("."))
    except OSError:
        yield folder
        return
    for name, is_folder in found:
        path = folder / name
        if is_folder:
            yield from _files_below(path)
        elif _is(Path.is_file, path, if_unknown=True):
            yield path


def _is(kind: Callable[[Path], bool], path: Path, if_unknown: bool = False) -> bool:
    try:
        return kind(path)
    except OSError:
        return if_unknown


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
