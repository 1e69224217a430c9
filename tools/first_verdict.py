"""``python -m tools.first_verdict``: from the clone to the first verdict, by `make run`, in minutes and bytes.

Clones this repository into a folder of its own, and runs ``make run`` there with empty caches, as a reader does who has
nothing of it. The service is stopped once it has scanned its sample pictures, and the folder is removed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

_REPOSITORY = Path(__file__).parents[1]

# Of `make run`, and of `make serve` where its output is no terminal: both scan the sample pictures before.
_FIRST_VERDICTS = ("PICTRS__MEDIA__EXTERNAL_VALIDATION=", "the URL for pict-rs, with its secret, is in ")

_CACHES = ("UV_CACHE_DIR", "PIP_CACHE_DIR", "XDG_CACHE_HOME")
_STOP_TIMEOUT_S = 60.0


class NoVerdictError(RuntimeError):
    """The command ended without one; the message has the end of what it said."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a reader waits for.

    Attributes:
        elapsed_s: from the clone on.
        received_bytes: by every network interface of this machine but loopback, for whatever program.
        disk_bytes: in the clone, with its installation.
    """

    elapsed_s: float
    received_bytes: int
    disk_bytes: int


def measure(repository: Path, folder: Path, target: str, arguments: str = "") -> Cost:
    """Clone into ``folder``, run the target, and stop it after its first verdict.

    Args:
        repository: what is cloned: a path or an address that git takes.
        folder: an empty one, for the clone and for the caches.
        target: of the Makefile.
        arguments: for ``ARGS`` of the Makefile.

    Raises:
        NoVerdictError: the target ended before.
    """
    clone = folder / "clone"
    started_s, received_bytes = time.monotonic(), _received_bytes()
    subprocess.run(["git", "clone", "--quiet", str(repository), str(clone)], check=True)  # noqa: S603, S607 - git
    with subprocess.Popen(  # noqa: S603 - of the clone
        ["make", target, f"ARGS={arguments}"],  # noqa: S607
        cwd=clone,
        env=os.environ | {name: str(folder / name.lower()) for name in _CACHES},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as service:
        said: list[str] = []
        for line in service.stdout or ():
            said.append(line)
            if any(each in line for each in _FIRST_VERDICTS):
                break
        else:
            raise NoVerdictError(f"`make {target}` ended without a verdict:\n{''.join(said[-20:])}")
        cost = Cost(time.monotonic() - started_s, _received_bytes() - received_bytes, sum(_disk_bytes(clone)))
        os.killpg(service.pid, signal.SIGINT)  # as Ctrl-C in a terminal
        service.communicate(timeout=_STOP_TIMEOUT_S)
    return cost


def _received_bytes() -> int:
    rows = Path("/proc/net/dev").read_text("ascii").splitlines()[2:]
    named = (row.split(":") for row in rows)
    return sum(int(counters.split()[0]) for name, counters in named if name.strip() != "lo")


def _disk_bytes(folder: Path) -> Iterator[int]:
    for each in folder.rglob("*"):
        yield each.lstat().st_blocks * 512


def main(
    target: Annotated[str, typer.Option(help="run or serve.")] = "run",
    port: Annotated[int, typer.Option(help="Where the service listens.")] = 14051,
) -> None:
    """Measure, and print one line."""
    with tempfile.TemporaryDirectory(prefix="pictwarden-first-") as folder:
        cost = measure(_REPOSITORY, Path(folder), target, f"--port {port}")
    print(
        f"make {target}: {cost.elapsed_s / 60:.1f} minutes to the first verdict, "
        f"{cost.received_bytes / 1e9:.2f} GB received by this machine, {cost.disk_bytes / 1e9:.2f} GB on disk"
    )


if __name__ == "__main__":
    typer.run(main)
