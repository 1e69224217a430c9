"""Fronts and workers as processes, each started and ended by its id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.serve.conftest import ROOT

START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.02


@dataclass
class Started:
    """A process, and what it has said so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """As when the power fails, but that the kernel closes its connections."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """As systemd stops it."""
        self.process.terminate()

    def pause(self) -> None:
        """As a desktop that sleeps: its connections stay."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def said(self, words: str) -> int:
        """How many lines have these words."""
        return sum(words in line for line in self.lines)


@contextlib.contextmanager
def started(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], prefix: Sequence[str] = ()
) -> Iterator[Started]:
    """``pictwarden`` with these arguments, until the block ends; nothing of it is left then.

    ``prefix`` is a command that becomes it.
    """
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "serve_app.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Started(process)
    reader = threading.Thread(target=_read, args=(running,), daemon=True)
    reader.start()
    try:
        yield running
    finally:
        try:
            _end(process)
        finally:
            reader.join(10)
            assert process.stdout is not None
            process.stdout.close()


def _read(running: Started) -> None:
    assert running.process.stdout is not None
    running.lines.extend(iter(running.process.stdout.readline, ""))


def _end(process: subprocess.Popen[str]) -> None:
    descendants = []
    with contextlib.suppress(psutil.NoSuchProcess):
        descendants = psutil.Process(process.pid).children(recursive=True)
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for each in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


async def until(condition: Callable[[], object], timeout_s: float = START_TIMEOUT_S, told: object = "") -> None:
    """Wait for something that another process does."""
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_s, f"waited in vain: {told}"
        await asyncio.sleep(_POLL_S)
