"""Processes that may end between two questions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import psutil


def is_alive(process: psutil.Process) -> bool:
    """Whether it has not ended; a zombie has."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def unless_ended(question: Callable[[], Any]) -> Any:
    """The answer to a question about a process; empty if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return question()
    return ""
