"""A folder that nobody else of the machine can enter: control sockets, configuration, state and logs of one service.

Serve writes HAProxy's admin socket, which takes commands from whoever reaches it, with mode 666; and Ray gives its own
folders mode 777. Neither can be told otherwise, so that the folder around them has to keep others out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from serve_app.domain import SettingsError

_PREFIX = "pictwarden-"

# A Unix socket's path has at most 107 bytes. The longest of those in the folder: /, the node's id of Serve (56 digits),
# /, the socket's name with a process id, and the `.PID.tmp` under which HAProxy binds it first.
_MAX_SOCKET_PATH_BYTES = 107
_LONGEST_NAME_BYTES = len("/h/") + 56 + 1 + len("c4194304") + len(".4194304.tmp")
_MAX_FOLDER_BYTES = _MAX_SOCKET_PATH_BYTES - _LONGEST_NAME_BYTES
_MKDTEMP_BYTES = 8
_MAX_PARENT_BYTES = _MAX_FOLDER_BYTES - len(f"/{_PREFIX}") - _MKDTEMP_BYTES

_FALLBACK_PARENT = Path("/tmp")  # noqa: S108 - the folder in it has a name that nobody knows

_REMOVE_S = 5.0
_REMOVE_POLL_S = 0.1


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Such a folder, gone with all that is in it when the block ends.

    Raises:
        SettingsError: there is no place in which nobody else could exchange it.
    """
    folder = create_private_folder()
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove it, whatever the last processes of a service still write into it for a moment."""
    give_up_s = time.monotonic() + _REMOVE_S
    while folder.exists() and time.monotonic() < give_up_s:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            time.sleep(_REMOVE_POLL_S)


def create_private_folder() -> Path:
    """A new folder with mode 0700 and a name that nobody can guess, whose removal is the caller's business.

    It lies in the system's temporary folder, unless that one's path is so long that a socket's would not fit.

    Raises:
        SettingsError: there is no place in which nobody else could exchange it.
    """
    parent = Path(tempfile.gettempdir()).resolve()
    if len(os.fsencode(parent)) > _MAX_PARENT_BYTES:
        parent = _FALLBACK_PARENT.resolve()
    require_unexchangeable(parent)
    # mkdtemp fails on a name that exists, and creates with mode 0700 whatever the umask is.
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))


def require_private(folder: Path) -> Path:
    """``folder``, resolved, if nobody else can enter or exchange it.

    Raises:
        SettingsError: it is another user's, or open to others, or its path is too long for a socket's; or it lies
            where it could be exchanged.
        FileNotFoundError: it is not there.
    """
    resolved = folder.resolve(strict=True)
    status = resolved.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(f"{folder} is to be yours alone, with mode 0700: control sockets go there")
    if len(os.fsencode(resolved)) > _MAX_FOLDER_BYTES:
        raise SettingsError(f"{folder} is too long for the sockets in it: at most {_MAX_FOLDER_BYTES} bytes")
    require_unexchangeable(resolved.parent)
    return resolved


def require_unexchangeable(folder: Path) -> None:
    """Require that nobody but its owner can rename or remove what this user makes in ``folder``.

    Raises:
        SettingsError: somebody else owns the folder or one above it, or may write there without its being sticky.
    """
    for each in (folder, *folder.parents):
        status = each.stat()
        is_shared = bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) and not status.st_mode & stat.S_ISVTX
        if is_shared or status.st_uid not in (0, os.geteuid()):
            raise SettingsError(
                f"{each} is no safe place for control sockets: another user could exchange what is in it. "
                "Set TMPDIR to a folder of your own"
            )
