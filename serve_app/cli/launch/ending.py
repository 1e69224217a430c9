"""Ends in bounded time: a step that hangs is cut off, with every process that this one has started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36

# Once its processes have ended, the step mostly returns by itself and tidies up.
_GRACE_S = 5.0

# Processes may be starting others while they are being killed.
_ROUNDS = 5
_PAUSE_S = 0.1


def adopt_orphans() -> None:
    """Make processes whose parent dies children of this one, so that they are known. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextlib.contextmanager
def bounded(limit_s: float, what: str) -> Iterator[None]:
    """End this process with exit code 1, and all that it has started, if the block takes longer than ``limit_s``.

    Args:
        limit_s: the longest time.
        what: the subject of the sentence that is then printed.
    """
    timer = cut_off_after(limit_s, what)
    try:
        yield
    finally:
        timer.cancel()


def cut_off_after(limit_s: float, what: str) -> threading.Timer:
    """As :func:`bounded`, from now on and until the timer is cancelled."""
    timer = threading.Timer(limit_s, _cut_off, (limit_s, what))
    timer.daemon = True
    timer.start()
    return timer


def _cut_off(limit_s: float, what: str) -> None:
    line = f"{what} took longer than {limit_s:g} s: its processes are killed\n"
    # In a thread: where nobody reads what is said, the end comes all the same.
    threading.Thread(target=sys.stderr.write, args=(line,), daemon=True).start()
    kill_descendants()
    time.sleep(_GRACE_S)
    os._exit(1)


def kill_descendants() -> None:
    """Kill every process that descends from this one."""
    for _ in range(_ROUNDS):
        found = descendants(os.getpid())
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S)


def descendants(of: int) -> list[int]:
    """The ids of the living processes that descend from the process ``of``; none where there is no ``/proc``."""
    children: dict[int, list[int]] = {}
    dead = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # `ID (NAME) STATE PARENT ...`; the name may hold anything, parentheses included.
            pid = int(entry.parent.name)
            state, parent = entry.read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            children.setdefault(int(parent), []).append(pid)
            if state == "Z":
                dead.add(pid)
    found, open_ = [], [of]
    while open_:
        below = children.get(open_.pop(), [])
        found += below
        open_ += below
    return [pid for pid in found if pid not in dead]
