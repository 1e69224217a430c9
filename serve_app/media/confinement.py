"""What a decode worker gives up before it sees the first picture, with the kernel's Landlock (landlock(7)).

Code that hostile bytes bring into a decoder runs as the user of the service. Confined, it opens no file but those of
its libraries: not the ledger, no secret, nothing of the service in /proc. It makes no TCP connection, and signals and
traces no other process. Linux 5.13 or newer has it; TCP takes 6.7, and signals 6.12.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import PIL

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_NO_NEW_PRIVS = 38

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

# landlock.h: how many rights on files each version knows, of which these are the ones for reading.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_BIND_AND_CONNECT_TCP = 0b11
_TCP_VERSION = 4
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
_SCOPE_VERSION = 6

# Of the system: what the linker and libraries read on their way, and nothing that is anybody's own.
_SYSTEM_FOLDERS = ("/usr", "/lib", "/lib64", "/sys/devices/system/cpu")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/proc/cpuinfo")


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def landlock_version() -> int:
    """Of the running kernel; 0 where it has none, or a container's filter of system calls withholds it."""
    if sys.platform != "linux":
        return 0
    return max(0, _system_call(_CREATE_RULESET, None, 0, _ASK_VERSION))


def confine(reachable: Iterable[str] = ()) -> bool:
    """Confine the calling thread, which is the only one, and all that it starts from now on; for good.

    Libraries may load more of themselves afterwards.

    Args:
        reachable: folders that may be used in every way.

    Returns:
        Whether it is confined: not where the kernel cannot, or will not.
    """
    version = landlock_version()
    try:
        if version:
            _confine(version, reachable)
    except OSError:
        return False
    return version > 0


def _confine(version: int, reachable: Iterable[str]) -> None:
    every_right = (1 << _FILE_RIGHTS[min(version, max(_FILE_RIGHTS))]) - 1
    wanted = _Ruleset(
        every_right,
        _BIND_AND_CONNECT_TCP if version >= _TCP_VERSION else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if version >= _SCOPE_VERSION else 0,
    )
    ruleset = _checked(_system_call(_CREATE_RULESET, ctypes.byref(wanted), ctypes.sizeof(wanted), 0))
    try:
        for folder in {*_SYSTEM_FOLDERS, sys.prefix, sys.base_prefix, *_folders_of_packages()}:
            _allow(ruleset, folder, _READ_FILE | _READ_FOLDER)
        for file in _SYSTEM_FILES:
            _allow(ruleset, file, _READ_FILE)
        for folder in reachable:
            _allow(ruleset, folder, every_right)
        _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_long, (1, 0, 0, 0))))
        _checked(_system_call(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _folders_of_packages() -> set[str]:
    """Of those that are loaded, which load parts of themselves at their first use; and where decoders are installed."""
    loaded = [module for name, module in tuple(sys.modules.items()) if "." not in name]
    folders = {folder for module in loaded for folder in getattr(module, "__path__", ())}
    return folders | {str(Path(PIL.__file__).parent.parent)}


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # another system's, or a package in an archive: nothing is there to be allowed
        return
    try:
        rule = _PathBeneath(rights, opened)
        _checked(_system_call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(opened)


def _system_call(number: int, *arguments: Any) -> int:
    longs = [ctypes.c_long(each) if isinstance(each, int) else each for each in (number, *arguments)]
    returned: int = _libc.syscall(*longs)
    return returned


def _checked(returned: int) -> int:
    if returned < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return returned
