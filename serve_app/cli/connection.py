"""Where the running service is: the scan URL, with its secret, as the commands of one machine share it.

``make run`` keeps the secret in a file that only its owner can read, so that the line which an admin has pasted into
pict-rs stays right over restarts, and ``pictwarden check`` needs no arguments.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

SECRETS_ENV = "PICTWARDEN_SECRETS"
URL_ENV = "PICTWARDEN_URL"

_STATE_FOLDER = Path(".pictwarden")
_SECRET_FILE = "secret"
_URL_FILE = "url"


def kept_secret() -> str:
    """The secret of the environment, or the one kept in the state folder, or a new one that is kept there."""
    from_environment = os.environ.get(SECRETS_ENV, "").split(",")[0].strip()
    if from_environment:
        return from_environment
    file = _STATE_FOLDER / _SECRET_FILE
    kept = file.read_text("ascii").strip() if file.is_file() else ""
    if kept:  # a full disk leaves an empty file
        return kept
    secret = secrets.token_urlsafe(32)
    _write_private(file, secret)
    return secret


def keep_url(url: str) -> None:
    """Remember the scan URL of the service that runs now."""
    _write_private(_STATE_FOLDER / _URL_FILE, url)


def known_url() -> str | None:
    """The scan URL of the environment, or the one that the last service on this machine was started with."""
    from_environment = os.environ.get(URL_ENV)
    if from_environment:
        return from_environment
    file = _STATE_FOLDER / _URL_FILE
    return file.read_text("ascii").strip() if file.is_file() else None


def _write_private(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    file.chmod(0o600)  # an older file keeps its mode when it is opened
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(text + "\n")
