"""The addresses of stores, as they are typed, and the one form of each by which its journal is found.

Nothing in them is percent-encoded: a key and a path may have every character.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from serve_app.domain import SettingsError
from serve_app.settings import PictrsSettings

_MOST_PORT = 65535
_FORMS = "pictrs:, pictrs:http://HOST:PORT, file:/PATH, s3://BUCKET/PREFIX or sftp://USER@HOST/PATH"


@dataclass(frozen=True, slots=True)
class Pictrs:
    """Where a pict-rs is; ``address`` is None for the configured one."""

    address: str | None

    @classmethod
    def of(cls, rest: str) -> Pictrs:
        """The one that an address names behind its ``pictrs:``.

        Raises:
            SettingsError: it is no address.
        """
        try:
            return cls(PictrsSettings(url=rest).url if rest else None)
        except ValidationError as error:
            raise SettingsError(f"pictrs:{rest} names no pict-rs: its form is pictrs:http://HOST:PORT") from error

    def url(self, configured: str | None) -> str:
        """The address; ``configured`` is that of the configured one."""
        return f"pictrs:{self.address or configured or ''}"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where a folder of this machine is."""

    path: Path

    @classmethod
    def of(cls, rest: str) -> Folder:
        """The one that an address names behind its ``file:``."""
        return cls(Path(rest.removeprefix("//")))

    @property
    def resolved(self) -> Folder:
        """The same folder, absolute and without links."""
        return Folder(Path(os.path.realpath(self.path)))

    @property
    def url(self) -> str:
        """The address; of a folder that was named in another way, ask :attr:`resolved`."""
        return f"file:{os.fsencode(self.path).decode('utf-8', 'backslashreplace')}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where a bucket's pictures lie.

    Attributes:
        name: of the bucket.
        prefix: of the keys, as of a folder: it ends with a slash, unless it is empty.
    """

    name: str
    prefix: str

    @classmethod
    def of(cls, rest: str) -> Bucket:
        """The one that an address names behind its ``s3://``.

        Raises:
            SettingsError: it names none, or has a secret in it.
        """
        name, _, prefix = rest.partition("/")
        if "@" in name:
            raise SettingsError(
                "the address of a bucket has no credentials in it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
                "the environment, or name a profile of ~/.aws with AWS_PROFILE"
            )
        if not name:
            raise SettingsError("the address names no bucket: its form is s3://BUCKET/PREFIX")
        prefix = prefix.rstrip("/")
        return cls(name, f"{prefix}/" if prefix else "")

    @property
    def url(self) -> str:
        """The address."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server's pictures lie.

    Attributes:
        user: None for the one of ``~/.ssh/config``, or of this process.
        host: its name, or its alias in ``~/.ssh/config``.
        port: None for the one of ``~/.ssh/config``, or 22.
        path: absolute.
    """

    user: str | None
    host: str
    port: int | None
    path: str

    @classmethod
    def of(cls, rest: str) -> Server:
        """The one that an address names behind its ``sftp://``.

        Raises:
            SettingsError: it names none, or has a password in it.
        """
        place, slash, path = rest.partition("/")
        user, at, host = place.rpartition("@")
        if ":" in user:
            raise SettingsError(
                "the address of a server has no password in it: log in with a key of ssh-agent or ~/.ssh/config"
            )
        host, bracket, port = host.removeprefix("[").rpartition("]") if host.startswith("[") else host.partition(":")
        port = port.removeprefix(":") if bracket == "]" else port
        if not host or not slash or (at and not user):
            raise SettingsError("the address names no folder of a server: its form is sftp://USER@HOST:PORT/PATH")
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= _MOST_PORT):
            raise SettingsError(f"{port} is no port: the form of the address is sftp://USER@HOST:PORT/PATH")
        return cls(user or None, host, int(port) if port else None, f"/{path.rstrip('/')}")

    @property
    def where(self) -> str:
        """The server, to people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.user is None else f"{self.user}@{host}"

    @property
    def url(self) -> str:
        """The address."""
        port = "" if self.port is None else f":{self.port}"
        address = f"sftp://{self.where}{port}{self.path}"
        return address.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


Address = Pictrs | Folder | Bucket | Server


def parse_address(named: str) -> Address:
    """The store that ``named`` names: a URL; a path is one of ``file:``, and ``pictrs:`` alone the configured pict-rs.

    Raises:
        SettingsError: it has no such form.
    """
    kind, _, rest = named.partition(":")
    if named.startswith(("/", ".")):
        return Folder.of(named)
    if kind == "pictrs":
        return Pictrs.of(rest)
    if kind == "file" and rest:
        return Folder.of(rest)
    if kind == "s3" and rest.startswith("//"):
        return Bucket.of(rest.removeprefix("//"))
    if kind == "sftp" and rest.startswith("//"):
        return Server.of(rest.removeprefix("//"))
    raise SettingsError(f"{named} names no store: its form is {_FORMS}")


def url_of(named: str, configured_pictrs: str | None) -> str:
    """The one form of the address of the store that ``named`` names.

    Raises:
        SettingsError: as :func:`parse_address`.
    """
    match parse_address(named):
        case Pictrs() as pictrs:
            return pictrs.url(configured_pictrs)
        case Folder() as folder:
            return folder.resolved.url
        case address:
            return address.url
