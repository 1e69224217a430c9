"""Processes that may end between two questions."""

from __future__ import annotations

import contextlib

import psutil


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended; a zombie has."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
