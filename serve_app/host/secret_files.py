"""Secrets: each is in an environment variable, or in the file that a variable of the same name with ``_FILE`` names.

Container platforms provide secrets as files (``/run/secrets/NAME``). A file can also be changed while the service runs:
:class:`SecretFiles` tells when, so that a secret is replaced without a restart.
"""

from __future__ import annotations

import functools
import os
import re
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from serve_app.domain import SettingsError
from serve_app.logs import EventLogger
from serve_app.logs.redaction import hide_secrets_in

logger = EventLogger(__name__)

FILE_SUFFIX = "_FILE"

# A shorter secret can be guessed over the network.
MIN_SECRET_CHARACTERS = 16

_SEPARATORS = re.compile(r"[,\r\n]")

# Two changes within one tick of a file system's clock leave the same times: so young a file is read again.
_YOUNG_NS = 100_000_000


def read_secret(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The secret ``name``, without white space around it; empty if neither variable is set.

    Raises:
        SettingsError: both variables are set, or the file cannot be used.
    """
    variable = name + FILE_SUFFIX
    given, path = environment.get(name, "").strip(), environment.get(variable, "")
    if path and given:
        raise SettingsError(f"both {name} and {variable} are set: remove one, so that it is clear which counts")
    secret = secret_in_file(variable, Path(path)) if path else given
    hide_secrets_in(secret)
    return secret


def read_secrets(name: str, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The secrets of ``name``, which commas separate, or in a file also the ends of lines.

    Raises:
        SettingsError: as :func:`read_secret`.
    """
    return tuple(filter(None, map(str.strip, _SEPARATORS.split(read_secret(name, environment)))))


def secret_in_file(named_by: str, file: Path) -> str:
    """The content of a file with secrets, without white space around it; no log line of this process has it.

    Args:
        named_by: the variable or the option that names it, for messages.
        file: an absolute path.

    Raises:
        SettingsError: the file cannot be used.
    """
    if not file.is_absolute():
        raise SettingsError(f"{named_by} is the relative path {str(file)!r}: begin it with /, as in /run/secrets/NAME")
    try:
        is_open_to_all = bool(file.stat().st_mode & stat.S_IROTH)
        content = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(
            f"{named_by} names {file}, which cannot be read ({why}): write the secret into that file and let the "
            "service's user read it (chown and chmod 400, or chgrp and chmod 440), or correct the path"
        ) from error
    if not content:
        raise SettingsError(f"{named_by} names {file}, which is empty: write the secret into it")
    if is_open_to_all:
        _warn_of_open_file(named_by, file)
    hide_secrets_in(content)
    return content


def why_unusable(secret: str) -> str:
    """Why nobody may be let in by ``secret``, with what to do; empty if it is usable."""
    if not (secret.isascii() and secret.isprintable()):
        return "has characters that a URL or a header cannot carry: use printable ASCII characters only"
    if len(secret) < MIN_SECRET_CHARACTERS:
        return f"is too short: use at least {MIN_SECRET_CHARACTERS} characters"
    return ""


class SecretFiles:
    """The files of several secrets, watched for changes. To ask costs a few microseconds for each."""

    def __init__(self, names: Iterable[str], environment: Mapping[str, str] = os.environ) -> None:
        """``names`` are those of variables, without the suffix; those that have no file are left out."""
        self._paths = {name: Path(path) for name in names if (path := environment.get(name + FILE_SUFFIX))}
        self._seen = {path: _certain_version(path) for path in self._paths.values()}

    def have_changed(self) -> bool:
        """Whether any of them is not what it was when this was asked before, or may not be."""
        now = {path: _certain_version(path) for path in self._seen}
        has_changed = any(version is None or version != self._seen[path] for path, version in now.items())
        self._seen = now
        return has_changed

    def version(self, name: str) -> object:
        """What nearly always differs between two contents of the file of ``name``; None without a file."""
        path = self._paths.get(name)
        return None if path is None else _version(path)


def _version(file: Path) -> tuple[int, ...]:
    """What differs between two contents of a file, unless they are young. A link counts as what it leads to."""
    try:
        status = file.stat()
    except OSError as error:
        return (error.errno or 0,)
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino, status.st_size)


def _certain_version(file: Path) -> tuple[int, ...] | None:
    """None while the file is young."""
    version = _version(file)
    # A time to come, as after a clock was set back, would make the file young for as long.
    return None if len(version) > 1 and 0 <= time.time_ns() - version[0] < _YOUNG_NS else version


@functools.cache  # once for each file of the process
def _warn_of_open_file(variable: str, file: Path) -> None:
    logger.warning(
        "secret_file_open",
        f"{variable} names {file}, which every user of this machine can read: chmod 400 the file, or chgrp and "
        "chmod 440; for a secret in Kubernetes set defaultMode: 0440, and the group with fsGroup",
        variable=variable,
        file=str(file),
    )
