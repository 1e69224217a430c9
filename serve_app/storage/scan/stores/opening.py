"""The store that a command names."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import ValidationError

from serve_app.domain import SettingsError
from serve_app.extras import how_to_install
from serve_app.pictrs import connect_pictrs
from serve_app.settings import PictrsSettings
from serve_app.storage.scan.source import Source
from serve_app.storage.scan.stores.addresses import Bucket, Server
from serve_app.storage.scan.stores.in_pictrs import PictrsSource
from serve_app.storage.scan.stores.local import LocalSource

if TYPE_CHECKING:
    from serve_app.storage.scan.stores.hash_list import HashList

_FORMS = "pictrs:, pictrs:http://HOST:PORT, file:/PATH, s3://BUCKET/PREFIX or sftp://USER@HOST/PATH"


def open_source(
    named: str,
    quarantine: str | None = None,
    *,
    pictrs: PictrsSettings | None = None,
    hash_list: HashList | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Source:
    """The store that ``named`` names. Close it after use, in the event loop in which it was opened.

    Args:
        named: a URL; a path is one of ``file:``, and ``pictrs:`` alone the configured pict-rs.
        quarantine: where quarantined files go, below the store; pict-rs has no such place.
        pictrs: the configured one.
        hash_list: for pictures of pict-rs that are quarantined.
        environment: has the key of pict-rs.

    Raises:
        SettingsError: it has no such form, or cannot be opened.
    """
    kind, _, rest = named.partition(":")
    if named.startswith(("/", ".")):
        kind, rest = "file", named
    if kind == "pictrs":
        if quarantine is not None:
            raise SettingsError(
                "pict-rs has no folder for a quarantine: leave it out, and pictures are denied and purged"
            )
        settings = _pictrs_at(rest, pictrs or PictrsSettings())
        return PictrsSource(connect_pictrs(settings, environment), settings.url or "", hash_list)
    if kind == "file" and rest:
        return LocalSource(Path(rest.removeprefix("//")), _below(quarantine))
    if kind == "s3" and rest.startswith("//"):
        return _bucket(Bucket.of(rest.removeprefix("//")), _below(quarantine))
    if kind == "sftp" and rest.startswith("//"):
        return _server(Server.of(rest.removeprefix("//")), _below(quarantine))
    raise SettingsError(f"{named} names no store: its form is {_FORMS}")


def _pictrs_at(url: str, configured: PictrsSettings) -> PictrsSettings:
    """Those of the pict-rs at ``url``, or of the configured one where that is empty.

    Raises:
        SettingsError: it is no address.
    """
    if not url:
        return configured
    try:
        return PictrsSettings(url=url, public_endpoint=configured.public_endpoint)
    except ValidationError as error:
        raise SettingsError(f"pictrs:{url} names no pict-rs: its form is pictrs:http://HOST:PORT") from error


def _bucket(bucket: Bucket, quarantine: PurePosixPath | None) -> Source:
    if importlib.util.find_spec("aiobotocore") is None:
        raise SettingsError(f"a bucket is scanned through aiobotocore, which is not installed: {how_to_install('s3')}")
    from serve_app.storage.scan.stores.s3 import S3Source

    return S3Source(bucket, quarantine)


def _server(server: Server, quarantine: PurePosixPath | None) -> Source:
    if importlib.util.find_spec("asyncssh") is None:
        raise SettingsError(f"SFTP is spoken by asyncssh, which is not installed: {how_to_install('sftp')}")
    from serve_app.storage.scan.stores.sftp import SftpSource

    return SftpSource(server, quarantine)


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
