"""A real PostgreSQL for benchmarks and tests: a data directory, a socket, no port, and no user of the system's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.processes import kill_tree

START_S = 30.0

_UNPRIVILEGED = "nobody"
"""Who runs it where this process is root's, as whom PostgreSQL does not run."""


class PostgresError(RuntimeError):
    """The server did not start; the message is its log."""


def server_folder() -> Path | None:
    """Where PostgreSQL's own programs are; Debian's are not on the path."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: folder.parts[-2], default=None)


@dataclass
class Server:
    """A running server."""

    programs: Path
    folder: Path
    user: str | None
    is_durable: bool = True
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """Of the setting ``ledger``."""
        return f"postgresql://pictwarden@/{database}?host={self.folder}"

    def start(self) -> None:
        """Return once it accepts connections.

        Raises:
            PostgresError: it does not.
        """
        folder = str(self.folder)
        command = [str(self.programs / "postgres"), "-D", f"{folder}/data", "-k", folder, "-c", "listen_addresses="]
        if not self.is_durable:
            command += ["-c", "fsync=off", "-c", "full_page_writes=off"]
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, user=self.user)
        give_up_s = time.monotonic() + START_S
        ready = [str(self.programs / "pg_isready"), "-q", "-h", folder]
        while subprocess.run(ready, check=False).returncode:
            if self.process.poll() is not None or time.monotonic() > give_up_s:
                raise PostgresError((self.folder / "log").read_text("utf-8", "replace"))
            time.sleep(0.05)

    def kill(self) -> None:
        """As if the machine had lost its power: the server and each of its children, at once."""
        if self.process is None:
            return
        kill_tree(psutil.Process(self.process.pid))
        self.process.wait()

    def end(self) -> None:
        """Shut it down, if it runs."""
        if self.process is not None and self.process.poll() is None:
            # Fast: connections are closed. Immediate: and nothing is written any more.
            self.process.send_signal(signal.SIGINT if self.is_durable else signal.SIGQUIT)
            self.process.wait(START_S)

    def execute(self, statement: str, database: str = "postgres") -> str:
        """What psql prints for ``statement``."""
        command = [str(self.programs / "psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder)]
        command += ["-U", "pictwarden", "-d", database, "-c", statement]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def running_server(programs: Path, *, is_durable: bool = True) -> Iterator[Server]:
    """A server that ends with the block; one that is not durable never waits for a disk."""
    # The path of a socket has at most 107 bytes; a folder of pytest's has more.
    with tempfile.TemporaryDirectory(prefix="pictwarden-pg-", dir="/tmp") as name:
        server = Server(programs, Path(name), None if os.getuid() else _UNPRIVILEGED, is_durable)
        if server.user:
            shutil.chown(server.folder, server.user)
        server.folder.chmod(0o755)
        make = [str(programs / "initdb"), "-D", f"{name}/data", "-U", "pictwarden", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*make, "--no-sync", "--locale=C"], check=True, capture_output=True, user=server.user)
        server.start()
        try:
            yield server
        finally:
            server.end()
