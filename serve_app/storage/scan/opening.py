"""The store that a command names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from serve_app.domain import SettingsError
from serve_app.storage.scan.local import LocalSource
from serve_app.storage.scan.source import Source

_FORMS = "pictrs:http://HOST:PORT, file:/PATH, s3://BUCKET/PREFIX or sftp://USER@HOST/PATH"


def open_source(named: str, quarantine: str | None = None) -> Source:
    """The store that ``named`` names. Close it after use.

    Args:
        named: a URL; a path is one of ``file:``.
        quarantine: where quarantined files go, below the store.

    Raises:
        SettingsError: it has no such form, or cannot be opened.
    """
    kind, _, rest = named.partition(":")
    if named.startswith(("/", ".")):
        kind, rest = "file", named
    if kind == "file" and rest:
        return LocalSource(Path(rest.removeprefix("//")), _below(quarantine))
    raise SettingsError(f"{named} names no store: its form is {_FORMS}")


def _below(quarantine: str | None) -> PurePosixPath | None:
    """A relative path, without steps up.

    Raises:
        SettingsError: it is another one.
    """
    if quarantine is None:
        return None
    path = PurePosixPath(quarantine)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise SettingsError(f"{quarantine} lies outside the store: name the quarantine by a path below it")
    return path
