"""Servers that a benchmark starts itself: ours and others, on a free port, ended with everything that they started."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from benchmarks import load
from benchmarks.bodies import photo_like_image, unique
from benchmarks.processes import end_trees
from deployments.ray_environment import free_ports
from serve_app.cli.local_service import SECRETS_ENV
from serve_app.host.state_folder import STATE_ENV
from serve_app.wire import SCAN_PATH

REPOSITORY = Path(__file__).parents[1]

_READY_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 60.0
_POLL_S = 0.1
_FIRST_PICTURE_PX = 640
_RANDOM = {"HF_HUB_OFFLINE": "1", "OPENMODERATE_PRETRAINED": "", "DO_NOT_TRACK": "1"}
_BOUNDARY = "pictwarden-benchmark"


class Way(StrEnum):
    """How Pictwarden runs."""

    ONE_PROCESS = "one-process"
    RAY = "ray"


STARTS = {Way.ONE_PROCESS: ("-m", "serve_app.cli", "serve"), Way.RAY: ("-m", "deployments.run")}


class NotServedError(Exception):
    """A server did not start; the message has the end of what it said."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that a benchmark starts.

    Attributes:
        name: in the table.
        package: whose version is told.
        command: without the interpreter and ``--port``.
        path: where pictures are sent.
        is_ours: whether it runs in this environment and not in that of the peers.
        form_field: of the form that it wants a picture in; by default the body is the picture.
    """

    name: str
    package: str
    command: tuple[str, ...]
    path: str
    is_ours: bool = False
    form_field: str | None = None

    @property
    def content_type(self) -> str:
        """Of its bodies."""
        return f"multipart/form-data; boundary={_BOUNDARY}" if self.form_field else "image/jpeg"

    def body(self, jpeg: bytes) -> bytes:
        """A picture that it has not seen, as it wants it."""
        if not self.form_field:
            return unique(jpeg)
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{self.form_field}"; filename="a.jpg"\r\n\r\n'
        return head.encode() + unique(jpeg) + f"\r\n--{_BOUNDARY}--\r\n".encode()


@dataclass(frozen=True, slots=True)
class Home:
    """Where a server can be started again as the same one: its port, its secret, and its working directory."""

    port: int
    secret: str
    folder: Path

    @classmethod
    def within(cls, folder: Path) -> Home:
        """A new one with a port that is free now, in a folder that is made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(free_ports(1)[0], secrets.token_hex(16), folder)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers pictures: where, its first process, and the seconds from its start to its first answer."""

    url: str
    process: psutil.Popen
    ready_s: float


def ours(way: Way, *arguments: str) -> Server:
    """Pictwarden, started with ``arguments`` beside the port."""
    name = {Way.ONE_PROCESS: "Pictwarden in one process", Way.RAY: "Pictwarden on Ray Serve"}[way]
    return Server(name, "pictwarden", (*STARTS[way], *arguments), SCAN_PATH, True)


@contextlib.contextmanager
def running(server: Server, interpreter: str = sys.executable, home: Home | None = None) -> Iterator[Running]:
    """The server once it answers a picture; its whole tree ends with the block.

    Without a ``home`` it has a new one, which is removed afterwards.

    Raises:
        NotServedError: it ended, or did not answer in time.
    """
    jpeg = photo_like_image(_FIRST_PICTURE_PX, "JPEG", seed=1, quality=85)
    with contextlib.ExitStack() as afterwards:
        if home is None:
            new = tempfile.TemporaryDirectory(prefix="pw-bench-", ignore_cleanup_errors=True)
            home = Home.within(Path(afterwards.enter_context(new)))
        said = home.folder / "output.txt"
        started_s = time.perf_counter()
        with said.open("wb") as output:
            process = psutil.Popen(
                [interpreter, *server.command, "--port", str(home.port)],
                cwd=home.folder,
                env=_environment(home.secret, server.is_ours),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            url = f"http://127.0.0.1:{home.port}{server.path}" + (f"/{home.secret}" if server.is_ours else "")
            while load.answer_to(url, server.body(jpeg), server.content_type) not in load.STORED_OR_REJECTED:
                if process.poll() is not None or time.perf_counter() - started_s > _READY_TIMEOUT_S:
                    raise NotServedError(f"it did not start: {said.read_text('utf-8', errors='replace')[-300:]}")
                time.sleep(_POLL_S)
            yield Running(url, process, time.perf_counter() - started_s)
        finally:
            end_trees([process], _STOP_TIMEOUT_S)
            process.wait()


def _environment(secret: str, is_ours: bool) -> Mapping[str, str]:
    """No hub is asked for weights that are random; an empty name of weights is open_clip's word for those."""
    own = {"PYTHONPATH": str(REPOSITORY), SECRETS_ENV: secret} if is_ours else {}
    # A ledger of the benchmark's, in the working directory.
    base = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", STATE_ENV)}
    return {**base, **_RANDOM, **own}
