"""The files among a command's arguments and below its folders, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def pictures_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among ``paths`` and all files below the folders among them, in order, without hidden ones.

    Only the names of one folder at a time are in memory. A folder that cannot be read is yielded like a file, so that
    opening it tells why. Links to folders are not followed.

    Raises:
        FileNotFoundError: a path does not exist; raised before the first file.
    """
    given = list(paths)
    for path in given:
        if not os.path.lexists(path):
            raise FileNotFoundError(path)
    return _files(given)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        # The path of the folder itself may go through `..` or `.cache`.
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
