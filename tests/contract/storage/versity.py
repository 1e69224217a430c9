"""A real server of S3: versitygw, which keeps each key as a file of a folder, so that a test may set its time.

Of the others, Garage takes long to build, and moto's is a stand-in itself. ``python -m tests.contract.storage.versity``
builds it with Go, once: the cache is outside the repository, and every checkout shares it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from deployments.ray_environment import free_ports

VERSION = "1.8.0"

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_FOLDER = _CACHE / "pictwarden" / f"versitygw-{VERSION}" / "bin"
BINARY = _FOLDER / "versitygw"
MISSING = f"versitygw {VERSION} is not built: run `python -m tests.contract.storage.versity`, which needs Go"

KEY, SECRET = "a-key-of-the-tests", "a-secret-of-the-tests"

_START_TIMEOUT_S = 30.0


@contextlib.contextmanager
def running_versitygw(folder: Path) -> Iterator[str]:
    """Its URL; each folder in ``folder`` is a bucket."""
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    command = [str(BINARY), "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def free_port() -> int:
    """A port of the loopback on which nothing listens."""
    return free_ports(1)[0]


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as ``process`` listens."""
    give_up_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < give_up_s, "it does not listen"
        time.sleep(0.02)


def main() -> int:
    """Build it, if that was not done yet. The exit code is Go's; 0 without Go or anything to do."""
    if BINARY.is_file():
        return 0
    go = shutil.which("go")
    if go is None:
        print(f"Go is not installed: the tests with a real versitygw {VERSION} are skipped")
        return 0
    print(f"building versitygw {VERSION} into {_FOLDER}, once", flush=True)
    command = [go, "install", f"github.com/versity/versitygw/cmd/versitygw@v{VERSION}"]
    return subprocess.run(command, env={**os.environ, "GOBIN": str(_FOLDER)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
