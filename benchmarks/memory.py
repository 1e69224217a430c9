"""The processes of a local service, what they hold in memory, and what environment they compute in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import psutil

_SCORER = "ray::ServeReplica:pictwarden:ClipScorer"

# Reading the page tables of a gigabyte takes milliseconds, on the cores that are measured.
_SAMPLE_EVERY_S = 5.0


def service_memory_bytes(url: str) -> int | None:
    """Memory of the process tree that serves ``url`` on this machine; None where it cannot be seen.

    Proportional set size: pages that processes share are counted once. The sum of resident sizes would count the
    interpreter and libraries anew in each of a dozen Ray processes.
    """
    root = service_root(url)
    return None if root is None else _tree_memory_bytes(root)


def scorer_environment(url: str) -> Mapping[str, str]:
    """The environment of a scorer of the service at ``url``; empty where none can be seen. It holds secrets."""
    root = service_root(url)
    for process in [] if root is None else root.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith(_SCORER):
                return process.environ()
    return {}


class MemorySampler:
    """Samples the memory of a service while something else goes on. Use it as an asynchronous context manager."""

    def __init__(self, url: str) -> None:
        self._root = service_root(url)
        self._sampling: asyncio.Task[None] | None = None
        self.samples: list[tuple[float, int]] = []
        """Moments (on the clock of ``time.perf_counter``) and bytes; empty where the service cannot be seen."""

    async def __aenter__(self) -> MemorySampler:
        await self._sample()
        self._sampling = asyncio.create_task(self._keep_sampling())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sampling is not None:
            self._sampling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sampling
        await self._sample()

    async def _keep_sampling(self) -> None:
        while True:
            await asyncio.sleep(_SAMPLE_EVERY_S)
            await self._sample()

    async def _sample(self) -> None:
        if self._root is not None:
            # In a thread: the load is made on this loop, and must not wait.
            size_bytes = await asyncio.to_thread(_tree_memory_bytes, self._root)
            self.samples.append((time.perf_counter(), size_bytes))


def _tree_memory_bytes(root: psutil.Process) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total


def service_root(url: str) -> psutil.Process | None:
    """The process above whoever listens on the port of ``url``."""
    port = urlsplit(url).port
    listener = next(
        (
            connection.pid
            for connection in _tcp_connections()
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        ),
        None,
    )
    return None if listener is None else _run_command(psutil.Process(listener))


def _tcp_connections() -> Iterable[Any]:
    try:
        return psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return []


def _run_command(process: psutil.Process) -> psutil.Process:
    """The `make run` command above a process, by its module's name."""
    for ancestor in process.parents():
        with contextlib.suppress(psutil.Error):
            if "deployments.run" in ancestor.cmdline():
                return ancestor
    return process
