"""A real pict-rs for benchmarks and tests: where its binary is cached, and one as a process.

It listens on a free port of the loopback, and its folder is gone afterwards. `make e2e` builds the binary.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path

from deployments.ray_environment import free_ports

VERSION = "0.5.25"

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FOLDER = _CACHE / "pictwarden" / f"pict-rs-{VERSION}"
"""Outside the repository: every checkout shares it."""

BINARY = FOLDER / "bin" / "pict-rs"

MISSING = f"pict-rs {VERSION} is not built: run `make e2e`, which needs cargo (rustc 1.92 or newer) and 3 minutes, once"

# It is there within a second where a core is free, and has to write what it holds before it ends.
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
_HEALTH_TIMEOUT_S = 5.0
_POLL_S = 0.02

# A start needs 0.1 s of them, a session of tests 20 s. Of hundreds of starts a few computed on all cores and answered
# nothing, one of them for a quarter of an hour: such a one is ended, and another one started.
_MOST_CPU_TO_START_S = 5
_MOST_CPU_S = 300
_ATTEMPTS = 4


class Mode(StrEnum):
    """How pict-rs treats a file before it asks."""

    DUMMY = "dummy"
    """Not at all: it needs none of its programs."""
    FULL = "full"
    """As in production: it inspects the file, and removes metadata or encodes anew."""


class PictrsFailedError(Exception):
    """It did not start, or did not end as it was asked to; the message has its log."""


class _SpinningError(PictrsFailedError):
    """It computes and does not answer."""


@dataclass(frozen=True, slots=True)
class Running:
    """A pict-rs that answers: where, its process, and the folder in which it stores files."""

    url: str
    process: subprocess.Popen[bytes]
    store: Path


@contextlib.contextmanager
def running_process(
    external_validation: str | None = None, mode: Mode = Mode.DUMMY, binary: Path = BINARY, **settings: str
) -> Iterator[Running]:
    """A pict-rs from its start to its end.

    Args:
        external_validation: the URL that it posts each upload to; None for none.
        mode: of which ``full`` needs programs.
        binary: of pict-rs.
        settings: more of its environment, without the prefix: ``MEDIA__EXTERNAL_VALIDATION_TIMEOUT="1"``.

    Raises:
        PictrsFailedError: it did not start, or did not end with 0 after a SIGTERM.
    """
    settings = {"SERVER__DANGER_DUMMY_MODE": "true" if mode is Mode.DUMMY else "false", **settings}
    if external_validation is not None:
        settings = {"MEDIA__EXTERNAL_VALIDATION": external_validation, **settings}
    with contextlib.ExitStack() as stack:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                started = stack.enter_context(_started(binary, settings))
                break
            except _SpinningError:
                if attempt == _ATTEMPTS:
                    raise
        yield started


@contextlib.contextmanager
def _started(binary: Path, settings: Mapping[str, str]) -> Iterator[Running]:
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="pictwarden-pict-rs-") as name:
        folder = Path(name)
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binary, "run"],
                cwd=folder,
                env=_environment(folder, port, settings),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running = Running(f"http://127.0.0.1:{port}", process, folder / "files")
        try:
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (_MOST_CPU_TO_START_S, _MOST_CPU_S))
            _wait_until_healthy(running, log)
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (_MOST_CPU_S, _MOST_CPU_S))
            yield running
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            finally:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise PictrsFailedError(f"it ended with {process.returncode}: {log.read_text('utf-8', 'replace')}")


def _environment(folder: Path, port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """Nothing of ours but the search path: pict-rs reads every variable that begins with its prefix, and proxies."""
    given = {
        "SERVER__ADDRESS": f"127.0.0.1:{port}",
        "SERVER__TEMPORARY_DIRECTORY": str(folder / "temporary"),
        "REPO__TYPE": "sled",
        "REPO__PATH": str(folder / "repo"),
        "OLD_REPO__PATH": str(folder / "old-repo"),
        "STORE__TYPE": "filesystem",
        "STORE__PATH": str(folder / "files"),
        "CLIENT__ALLOW_LOCAL_CONNECTIONS": "true",
        **settings,
    }
    return {"PATH": os.environ["PATH"], **{f"PICTRS__{key}": value for key, value in given.items()}}


def _wait_until_healthy(running: Running, log: Path) -> None:
    give_up_s = time.monotonic() + _START_TIMEOUT_S
    while not _is_healthy(running):
        status = running.process.poll()
        if status == -signal.SIGXCPU:
            raise _SpinningError(f"pict-rs computed for {_MOST_CPU_TO_START_S} s and did not answer")
        if status is not None or time.monotonic() > give_up_s:
            raise PictrsFailedError(f"pict-rs is not there: {log.read_text('utf-8', 'replace')}")
        time.sleep(_POLL_S)


def _is_healthy(running: Running) -> bool:
    """Asked without an event loop, for the caller may be in one."""
    connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=_HEALTH_TIMEOUT_S)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/healthz")
        return connection.getresponse().status == HTTPStatus.OK
    return False
