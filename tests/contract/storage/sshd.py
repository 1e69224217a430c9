"""A real SFTP server: the one of OpenSSH, as a process of the test, with a configuration and keys of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.contract.storage.versity import free_port, wait_for

# It is in no user's PATH.
SSHD = shutil.which("/usr/sbin/sshd")
_SEPARATED = Path("/run/sshd")


def missing() -> str | None:
    """What is not there of what it needs, and the way out."""
    if SSHD is None:
        return "OpenSSH's server is not installed (Debian: apt-get install openssh-server)"
    if os.geteuid() == 0 and not _SEPARATED.is_dir():
        return f"OpenSSH's server needs the folder {_SEPARATED} if root runs it: mkdir {_SEPARATED}"
    return None


@dataclass(frozen=True)
class Sshd:
    """A running server.

    Attributes:
        port: of the loopback.
        home: of a user who knows its host key, and has a key that it lets in.
        process: which may be ended.
    """

    port: int
    home: Path
    process: subprocess.Popen[bytes]

    def url(self, path: Path | str, port: int | None = None) -> str:
        """The address of a folder."""
        return f"sftp://{getpass.getuser()}@127.0.0.1:{port or self.port}{path}"

    def know(self, port: int) -> None:
        """Know it behind another port too."""
        host_key = (self.home / "host.pub").read_text()
        with (self.home / ".ssh" / "known_hosts").open("a") as known:
            known.write(f"[127.0.0.1]:{port} {host_key}")


@contextlib.contextmanager
def running_sshd(folder: Path) -> Iterator[Sshd]:
    """One with its files in ``folder``, which is empty."""
    port, own = free_port(), folder / ".ssh"
    own.mkdir(mode=0o700)
    for key in (folder / "host", own / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    configuration = folder / "sshd_config"
    configuration.write_text(
        f"""ListenAddress 127.0.0.1:{port}
HostKey {folder / "host"}
AuthorizedKeysFile {own / "id_ed25519.pub"}
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
LogLevel ERROR
Subsystem sftp internal-sftp
"""
    )
    with subprocess.Popen([str(SSHD), "-D", "-e", "-f", configuration]) as process:
        try:
            wait_for(port, process)
            server = Sshd(port, folder, process)
            server.know(port)
            yield server
        finally:
            process.kill()
