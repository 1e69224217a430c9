"""``pictwarden storage scan`` as a process: the files that it has done by its own lines, and what it takes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.processes import DECODE_WORKERS, HTTP, cpu_by_stage_s, end_trees, kill_tree, memory_bytes
from benchmarks.servers import REPOSITORY
from serve_app.cli.local_service import URL_ENV
from serve_app.host.state_folder import STATE_ENV

FIRST_FILE_WITHIN_S = 300.0

SCAN = "listing, reading, moderating"
"""The stage of the command's own process, without the threads of its engine."""

_SAMPLED_EVERY_S = 1.0
_POLL_S = 0.02
_STOP_TIMEOUT_S = 60.0


class ScanFailedError(Exception):
    """The command ended by itself, or did nothing; the message has the end of what it said."""


@dataclass(frozen=True, slots=True)
class Done:
    """A line of the command: a file, when the line came (on the clock of ``time.perf_counter``), and the rest."""

    name: str
    at_s: float
    outcome: str
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """The files that are done at a moment, the memory of all processes then, and their processor time by stage."""

    files: int
    memory_bytes: int
    cpu_s: Mapping[str, float]


@dataclass
class StorageRun:
    """One run of the command.

    Attributes:
        began_s: its start, on the clock of ``time.perf_counter``.
        done: its files, as they were done.
        samples: about one a second, from the first file on.
    """

    began_s: float
    done: list[Done] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def first_after_s(self) -> float:
        """Seconds from the start to the first file."""
        return self.done[0].at_s - self.began_s

    @property
    def working_s(self) -> float:
        """Seconds from the first file to the last one."""
        return self.done[-1].at_s - self.done[0].at_s

    def first_other_after_s(self, names: set[str]) -> float | None:
        """Seconds from the start to the first file that is none of ``names``; None if all are."""
        return next((each.at_s - self.began_s for each in self.done if each.name not in names), None)

    def between_s(self, from_s: float, until_s: float) -> int:
        """Files that were done between two moments."""
        return sum(from_s < each.at_s <= until_s for each in self.done)


class RunningScan:
    """A command that runs; :func:`running_scan` ends it."""

    def __init__(self, process: psutil.Popen, said: Path) -> None:
        self.process = process
        self.run = StorageRun(time.perf_counter())
        self._said = said
        self._reader = threading.Thread(target=self._read, daemon=True, name="lines of the scan")
        self._reader.start()

    @property
    def files(self) -> int:
        """That are done."""
        return len(self.run.done)

    @property
    def said(self) -> str:
        """The end of what it has told people."""
        return self._said.read_text("utf-8", errors="replace")[-600:]

    def wait_for(self, files: int) -> bool:
        """Wait for so many files, and take samples; whether they were done before the command ended by itself.

        Raises:
            ScanFailedError: no file was done in time.
        """
        sampled_s = 0.0
        while self.files < files and self._reader.is_alive():
            now_s = time.perf_counter()
            if not self.files and now_s - self.run.began_s > FIRST_FILE_WITHIN_S:
                raise ScanFailedError(f"no file was scanned: {self.said}")
            if self.files and now_s - sampled_s > _SAMPLED_EVERY_S:
                self._sample()
                sampled_s = now_s
            time.sleep(_POLL_S)
        if not self._reader.is_alive():
            # Later ones are of a command that ends: its decode workers are gone.
            self.run.samples = [each for each in self.run.samples if each.files < self.files]
        return self.files >= files

    @property
    def is_running(self) -> bool:
        """Whether more files may be done."""
        return self._reader.is_alive()

    def interrupt(self) -> None:
        """End it as Ctrl-C does: the files that it has done are in its journal."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(_STOP_TIMEOUT_S)
        self._reader.join()

    def kill(self) -> None:
        """SIGKILL to all of it."""
        self._sample()
        kill_tree(self.process)
        self.process.wait()
        self._reader.join()

    def _sample(self) -> None:
        files, cpu_s = self.files, cpu_by_stage_s(self.process)
        if memory := memory_bytes(self.process):
            self.run.samples.append(Sample(files, memory, cpu_s))

    def _read(self) -> None:
        for line in self.process.stdout:
            at_s, told = time.perf_counter(), json.loads(line)
            self.run.done.append(Done(told["file"], at_s, told["outcome"], told["request_id"]))


@contextlib.contextmanager
def running_scan(
    folder: Path, config: Path, home: Path, *arguments: str, url: str | None = None
) -> Iterator[RunningScan]:
    """The command over ``folder``, with the configuration at ``config``; its whole tree ends with the block.

    Args:
        folder: that is scanned.
        config: of the ledger and, without ``url``, of the engine.
        home: the working directory, in which the ledger lies.
        arguments: of the command, such as ``--local``.
        url: the scan URL of a service.
    """
    command = (sys.executable, "-m", "serve_app.cli", "storage", "scan", f"file:{folder}", "--json")
    said = home / "scan.txt"
    left_out = ("PYTHONPATH", STATE_ENV, URL_ENV)
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"PYTHONPATH": str(REPOSITORY)} | ({URL_ENV: url} if url else {})
    with said.open("wb") as output:
        process = psutil.Popen(
            [*command, "--config", str(config), *arguments],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield RunningScan(process, said)
    finally:
        end_trees([process], _STOP_TIMEOUT_S)
        process.wait()
        process.stdout.close()


def core_ms_by_stage(samples: Sequence[Sample]) -> dict[str, float]:
    """Milliseconds of one core that a file takes, by stage, between the first of ``samples`` and the last one."""
    first, last = samples[0], samples[-1]
    files = last.files - first.files
    if files <= 0:
        return {}
    names = {HTTP: SCAN, DECODE_WORKERS: DECODE_WORKERS}
    return {
        names.get(stage, stage): 1e3 * (used_s - first.cpu_s.get(stage, 0.0)) / files
        for stage, used_s in last.cpu_s.items()
    }
