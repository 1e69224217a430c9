"""The folder of what a service stores on its machine: its secret, its URL, its ledger. Readable by its user alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

STATE_ENV = "STATE_DIRECTORY"
"""systemd sets it for a unit with a ``StateDirectory``."""

_STATE_FOLDER = ".pictwarden"


def state_folder() -> Path:
    """The unit's state directory under systemd, else ``.pictwarden`` in the working directory."""
    # systemd separates several by colons.
    return Path(os.environ.get(STATE_ENV, "").partition(":")[0] or _STATE_FOLDER)


def make_private_folder(folder: Path) -> None:
    """Make a folder that no other user can enter, if it is not there.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_private_file(file: Path) -> None:
    """Make an empty file that no other user can read, if it is not there; an existing one becomes private.

    An existing one is not opened: whoever closes a file ends all locks that its process has on it (fcntl(2)), those of
    SQLite's connections too, and the next program to close the database would remove the log that they still write.

    Raises:
        OSError: it cannot be made or written, is none, or belongs to another user.
    """
    make_private_folder(file.parent)
    try:
        os.close(os.open(os.path.realpath(file), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file)) from None
        if not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file)) from None
    if file.stat().st_mode & 0o077:
        file.chmod(0o600)
