"""Where the running service is: the scan URL, with its secret, as the commands of one machine share it.

A service stores the secret in a file that only its owner can read, so that the line which an admin has pasted into
pict-rs stays right over restarts, and ``pictwarden check`` needs no arguments. The file lies in ``.pictwarden`` of the
working directory, or under systemd in the unit's ``StateDirectory``.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from serve_app.domain import SettingsError
from serve_app.host.secret_files import FILE_SUFFIX, read_secrets
from serve_app.host.state_folder import make_private_file, state_folder
from serve_app.wire import WORKER_SECRETS_ENV

SECRETS_ENV = "PICTWARDEN_SECRETS"
URL_ENV = "PICTWARDEN_URL"

NO_SERVICE = f"no service is known here: start one with `make run`, or set {URL_ENV} to its scan URL"

ScanUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar=URL_ENV,
        help="Scan URL with its secret, which other users of this machine can see here but not in the variable; by "
        "default, that of the last service in this folder.",
    ),
]

_SECRET_FILE = "secret"  # noqa: S105 - a name
_WORKER_SECRET_FILE = "worker-secret"  # noqa: S105 - a name
_URL_FILE = "url"


def provide_secret(secrets_env: str = SECRETS_ENV) -> str:
    """The secret for the URL; from now on the environment has it, or the file that the environment names.

    Args:
        secrets_env: the variable, as ``authentication.secrets_env`` names it.

    Raises:
        SettingsError: as :func:`stored_secret`.
    """
    secret = stored_secret(secrets_env)
    if not read_secrets(secrets_env):
        os.environ[secrets_env] = secret
    return secret


def provide_worker_secret() -> Path | None:
    """The file with the secret of workers, which the environment names from now on; None if that has its own.

    A change of the file counts from then on, as with any other.

    Raises:
        SettingsError: as :func:`stored_secret`.
    """
    if read_secrets(WORKER_SECRETS_ENV):
        return None
    stored_secret(WORKER_SECRETS_ENV, _WORKER_SECRET_FILE)
    file = (state_folder() / _WORKER_SECRET_FILE).absolute()
    os.environ[WORKER_SECRETS_ENV + FILE_SUFFIX] = str(file)
    return file


def stored_secret(secrets_env: str = SECRETS_ENV, name: str = _SECRET_FILE) -> str:
    """The first secret of the environment or of its file, else the stored one, else a new one that is stored.

    Args:
        secrets_env: the variable, as ``authentication.secrets_env`` names it.
        name: of the file in the state folder.

    Raises:
        SettingsError: the file that the environment names cannot be used; or none is set, and the state folder is none
            that this user can read and write.
    """
    if given := read_secrets(secrets_env):
        return given[0]
    file = state_folder() / name
    try:
        stored = file.read_text("ascii").strip() if file.is_file() else ""
        if stored:  # a full disk leaves an empty file
            return stored
        secret = secrets.token_urlsafe(32)
        _write_private(file, secret)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(
            f"the secret cannot be stored in {file.absolute()} ({why}): set {secrets_env} to a secret of at least "
            "16 characters, or start in a folder that you can write to"
        ) from error
    return secret


def store_url(url: str) -> Path | None:
    """Store the scan URL of the service that runs now, so that ``check`` finds it: in which file; None if in none."""
    file = state_folder() / _URL_FILE
    try:
        _write_private(file, url)
    except OSError:
        return None
    return file.absolute()


def known_url() -> str | None:
    """The scan URL of the environment, else that of the latest service on this machine."""
    from_environment = os.environ.get(URL_ENV)
    if from_environment:
        return from_environment
    file = state_folder() / _URL_FILE
    try:
        return file.read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError):  # also where it belongs to another user
        return None


def _write_private(file: Path, text: str) -> None:
    make_private_file(file)
    file.write_text(text + "\n", "ascii")
