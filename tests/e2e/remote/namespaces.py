"""A network of its own for a worker, behind a link whose rate the kernel holds. For root on Linux.

The namespace lives as long as a process that waits for the end of its input: whatever ends the tests ends that process,
and with it the namespace and both ends of the link.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

_RATE = ("rate", "20mbit", "burst", "32kbit", "latency", "400ms")
_HERE, _THERE = "10.213.77.1", "10.213.77.2"


class NoNamespaceError(Exception):
    """There can be none here; the message says why."""


@dataclass(frozen=True, slots=True)
class Behind:
    """A namespace behind a link of 20 Mbit/s each way.

    Attributes:
        address: of this side.
        prefix: a command that becomes another one in the namespace.
    """

    address: str
    prefix: tuple[str, ...]


@contextlib.contextmanager
def behind_a_link() -> Iterator[Behind]:
    """Until the block ends.

    Raises:
        NoNamespaceError: nobody is root here, or the kernel or its tools lack something.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise NoNamespaceError("network namespaces need root and Debian's iproute2")
    # cat closes its output at once where the namespace could not be made.
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            if not holder.stdout.readline():
                raise NoNamespaceError("no network namespace can be made here")
            link = f"pw{holder.pid}"
            inside = ("nsenter", f"--target={holder.pid}", "--net")
            _run("ip", "link", "add", link, "type", "veth", "peer", "name", "home", "netns", str(holder.pid))
            for prefix, device, address in (((), link, _HERE), (inside, "home", _THERE)):
                _run(*prefix, "ip", "address", "add", f"{address}/30", "dev", device)
                _run(*prefix, "ip", "link", "set", device, "up")
                _run(*prefix, "tc", "qdisc", "add", "dev", device, "root", "tbf", *_RATE)
            yield Behind(_HERE, inside)
        finally:
            holder.stdin.close()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoNamespaceError(f"`{' '.join(command)}`: {done.stderr.strip()}")
