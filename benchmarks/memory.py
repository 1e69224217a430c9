"""What the processes of a local service hold in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import psutil


def service_memory_bytes(url: str) -> int | None:
    """Memory of the process tree that serves ``url`` on this machine; None where it cannot be seen.

    Proportional set size: pages that processes share are counted once. The sum of resident sizes would count the
    interpreter and libraries anew in each of a dozen Ray processes.
    """
    port = urlsplit(url).port
    listener = next(
        (
            connection.pid
            for connection in _tcp_connections()
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        ),
        None,
    )
    if listener is None:
        return None
    root = _service_root(psutil.Process(listener))
    total = 0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total


def _tcp_connections() -> Iterable[Any]:
    try:
        return psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return []


def _service_root(process: psutil.Process) -> psutil.Process:
    """The `make run` command above a process, by its module's name."""
    for ancestor in process.parents():
        with contextlib.suppress(psutil.Error):
            if "deployments.run" in ancestor.cmdline():
                return ancestor
    return process
