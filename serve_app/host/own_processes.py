"""The processes of this user, as Linux lists them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OwnProcess:
    """A process of this user.

    Attributes:
        pid: its number.
        parent: the number of the process that it belongs to.
        arguments: its command line. A process may put a title there.
    """

    pid: int
    parent: int
    arguments: tuple[bytes, ...]


def own_processes() -> Iterator[OwnProcess]:
    """Those that run now. Another user's are left out, whatever their arguments pretend."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid != os.geteuid():
                    continue
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                # The second field is a name in parentheses, which may have any character.
                parent = (entry / "stat").read_bytes().rpartition(b")")[2].split()[1]
                yield OwnProcess(int(entry.name), int(parent), tuple(arguments))
