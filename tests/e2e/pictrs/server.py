"""A real pict-rs as a process: dummy mode, a free port of the loopback, a folder of its own that is gone afterwards."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.pictrs.installation import BINARY
from tests.serve.conftest import free_port, is_free

API_KEY = "a-key-of-the-tests-and-of-nothing-else"

# It is there within a second where a core is free, and has to write what it holds before it ends.
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0

# A start needs 0.1 s of them, a module of tests 2 s. Of hundreds of starts a few computed on all cores and answered
# nothing, one of them for a quarter of an hour: such a one is ended, and another one started.
_MOST_CPU_TO_START_S = 5
_MOST_CPU_S = 60
_ATTEMPTS = 4


@dataclass(frozen=True)
class Upload:
    """What an uploader sees: the status, the code of an error, and the alias of each stored file."""

    status: int
    code: str | None
    aliases: tuple[str, ...]

    @property
    def is_stored(self) -> bool:
        return self.status == 201


@dataclass(frozen=True)
class PictRs:
    """A running pict-rs and what a test may ask of it."""

    url: str
    http: httpx.Client

    def upload(self, body: bytes) -> Upload:
        """Send one file as Lemmy does."""
        answer = self.http.post("/image", files={"images[]": ("a-picture", body, "image/png")})
        fields = answer.json()
        aliases = tuple(file["file"] for file in fields.get("files") or ())
        return Upload(answer.status_code, fields.get("code"), aliases)

    def original(self, alias: str) -> httpx.Response:
        """The stored bytes."""
        return self.http.get(f"/image/original/{alias}")

    def hashes(self) -> list[dict[str, Any]]:
        """All that is stored, newest first."""
        answer = self.http.get("/internal/hashes", params={"limit": 1000}, headers={"X-Api-Token": API_KEY})
        answer.raise_for_status()
        hashes: list[dict[str, Any]] = answer.json()["page"]["hashes"]
        return hashes


@contextlib.contextmanager
def running_pictrs(external_validation: str | None = None, **settings: str) -> Iterator[PictRs]:
    """A pict-rs from its start to its end; asserts that it ends when it is asked to.

    Args:
        external_validation: the URL that it posts each upload to; None for none.
        settings: more of its environment, without the prefix: ``MEDIA__EXTERNAL_VALIDATION_TIMEOUT="1"``.
    """
    if external_validation is not None:
        settings = {"MEDIA__EXTERNAL_VALIDATION": external_validation, **settings}
    with contextlib.ExitStack() as stack:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                pictrs = stack.enter_context(_started(settings))
                break
            except _SpinningError:
                if attempt == _ATTEMPTS:
                    raise
        yield pictrs


class _SpinningError(AssertionError):
    """It computes and does not answer."""


@contextlib.contextmanager
def _started(settings: Mapping[str, str]) -> Iterator[PictRs]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pictwarden-pict-rs-") as name:
        folder = Path(name)
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [BINARY, "run"],
                cwd=folder,
                env=_environment(folder, port, settings),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (_MOST_CPU_TO_START_S, _MOST_CPU_S))
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
                _wait_until_healthy(http, process, log)
                resource.prlimit(process.pid, resource.RLIMIT_CPU, (_MOST_CPU_S, _MOST_CPU_S))
                yield PictRs(f"http://127.0.0.1:{port}", http)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            finally:
                process.kill()
                process.wait()
        assert process.returncode == 0, log.read_text("utf-8", "replace")
    assert is_free(port)


def _environment(folder: Path, port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """Nothing of ours but the search path: pict-rs reads every variable that begins with its prefix, and proxies."""
    given = {
        "SERVER__ADDRESS": f"127.0.0.1:{port}",
        "SERVER__API_KEY": API_KEY,
        "SERVER__DANGER_DUMMY_MODE": "true",
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


def _wait_until_healthy(http: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            if http.get("/healthz").status_code == 200:
                return
        status = process.poll()
        if status == -signal.SIGXCPU:
            raise _SpinningError(f"pict-rs computed for {_MOST_CPU_TO_START_S} s and did not answer")
        is_over = status is not None or time.monotonic() > give_up_s
        assert not is_over, f"pict-rs is not there:\n{log.read_text('utf-8', 'replace')}"
        time.sleep(0.02)
