"""The store that a command names."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, assert_never

from serve_app.domain import SettingsError
from serve_app.host.extras import how_to_install
from serve_app.pictrs import connect_pictrs
from serve_app.settings import PictrsSettings
from serve_app.storage.scan.source import Source
from serve_app.storage.scan.stores.addresses import Bucket, Folder, Pictrs, Server, parse_address
from serve_app.storage.scan.stores.in_pictrs import PictrsSource
from serve_app.storage.scan.stores.local import LocalSource

if TYPE_CHECKING:
    from serve_app.storage.scan.stores.hash_list import HashList


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
        named: as :func:`~serve_app.storage.scan.stores.addresses.parse_address` takes it.
        quarantine: where quarantined files go, below the store; pict-rs has no such place.
        pictrs: the configured one.
        hash_list: for pictures of pict-rs that are quarantined.
        environment: has the key of pict-rs.

    Raises:
        SettingsError: it has no such form, or cannot be opened.
    """
    match parse_address(named):
        case Pictrs(address):
            if quarantine is not None:
                raise SettingsError(
                    "pict-rs has no folder for a quarantine: leave it out, and pictures are denied and purged"
                )
            settings = _pictrs_at(address, pictrs or PictrsSettings())
            return PictrsSource(connect_pictrs(settings, environment), settings.url or "", hash_list)
        case Folder(path):
            return LocalSource(path, _below(quarantine))
        case Bucket() as bucket:
            return _bucket(bucket, _below(quarantine))
        case Server() as server:
            return _server(server, _below(quarantine))
        case other:
            assert_never(other)


def _pictrs_at(url: str | None, configured: PictrsSettings) -> PictrsSettings:
    """Those of the pict-rs at ``url``, or of the configured one if that is None."""
    return configured if url is None else PictrsSettings(url=url, public_endpoint=configured.public_endpoint)


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
