"""A folder that no other user can enter: control sockets, configuration, state and logs of one service.

Serve gives HAProxy's admin socket, which takes commands from everybody who reaches it, mode 666, and Ray gives its
folders mode 777. Neither has a setting for it, so that the folder around them has to keep others out.
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

METRICS_FOLDER_ENV = "PICTWARDEN_METRICS_FOLDER"
"""In it, the folder for the snapshots of a node's replicas (:mod:`deployments.replica_metrics`)."""

_PREFIX = "pictwarden-"

# A Unix socket's path has at most 107 bytes. The longest one in the folder has Serve's id of the node (56 digits), the
# socket's name with a process id, and the suffix `.PID.tmp` under which HAProxy binds it first.
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
    """A private folder, removed with its content when the block ends.

    Raises:
        SettingsError: other users could replace a folder in every possible place.
    """
    folder = create_private_folder()
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove the folder, even if the last processes of a service still write into it for a moment."""
    give_up_s = time.monotonic() + _REMOVE_S
    while folder.exists() and time.monotonic() < give_up_s:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            time.sleep(_REMOVE_POLL_S)


def create_private_folder() -> Path:
    """A new folder with mode 0700 and a name that nobody can guess; the caller removes it.

    It lies in the system's temporary folder, unless the path of that one is too long for the sockets.

    Raises:
        SettingsError: other users could replace a folder in every possible place.
    """
    parent = Path(tempfile.gettempdir()).resolve()
    if len(os.fsencode(parent)) > _MAX_PARENT_BYTES:
        parent = _FALLBACK_PARENT.resolve()
    require_unexchangeable(parent)
    # mkdtemp fails on a name that exists, and creates with mode 0700 whatever the umask is.
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))


def require_private(folder: Path) -> Path:
    """``folder``, resolved, if no other user can enter or replace it.

    Raises:
        SettingsError: it belongs to another user, is open to others, or has too long a path for sockets, or another
            user could replace it.
        FileNotFoundError: it does not exist.
    """
    resolved = folder.resolve(strict=True)
    status = resolved.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(f"{folder} is not private: control sockets need a folder of yours with mode 0700")
    if len(os.fsencode(resolved)) > _MAX_FOLDER_BYTES:
        raise SettingsError(f"the path {folder} is too long for sockets: use one of at most {_MAX_FOLDER_BYTES} bytes")
    require_unexchangeable(resolved.parent)
    return resolved


def require_unexchangeable(folder: Path) -> None:
    """Require that no other user can rename or remove the files that this user creates in ``folder``.

    Raises:
        SettingsError: another user owns the folder or one above it, or can write to one that is not sticky.
    """
    for each in (folder, *folder.parents):
        status = each.stat()
        is_shared = bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) and not status.st_mode & stat.S_ISVTX
        if is_shared or status.st_uid not in (0, os.geteuid()):
            raise SettingsError(
                f"{each} is unsafe for control sockets, because another user can replace its content: "
                "set TMPDIR to a folder of your own"
            )
