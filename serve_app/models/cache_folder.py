"""The user's cache: where it is, and how a folder comes into it whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4


def default_cache_folder() -> Path:
    """Where the user's caches are (XDG Base Directory Specification), in a folder of our own."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "pictwarden"


def with_unfinished(target: Path, write: Callable[[Path], None], finish: Callable[[Path], object]) -> None:
    """``write`` to a new folder beside ``target``, then ``finish`` with it; nothing of it stays if either fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not as a temporary folder, which nobody but its maker may read: a service may run as another user.
    unfinished = target.parent / f".unfinished-{uuid4().hex}"
    unfinished.mkdir()
    try:
        write(unfinished)
        finish(unfinished)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def put(finished: Path, target: Path, is_whole: Callable[[], bool]) -> None:
    """Rename ``finished`` to ``target``, in place of what is there, unless ``is_whole`` says that this is as good.

    Raises:
        OSError: ``target`` cannot be made.
    """
    while True:
        try:
            # A folder is not renamed over one that has files, so a neighbour's is never torn.
            finished.rename(target)
        except OSError:
            if is_whole():  # made by a neighbour at the same time
                return
            if not target.exists():
                raise
            # Moved away first: a start that comes in between finds nothing, and never half of something.
            broken = target.parent / f".broken-{uuid4().hex}"
            target.rename(broken)
            shutil.rmtree(broken)
        else:
            return
