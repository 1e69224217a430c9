"""The addresses of stores elsewhere: ``s3://BUCKET/PREFIX`` and ``sftp://USER@HOST:PORT/PATH``, as they are typed.

Nothing in them is percent-encoded: a key and a path may have every character.
"""

from __future__ import annotations

from dataclasses import dataclass

from serve_app.domain import SettingsError

_MOST_PORT = 65535


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
        return f"sftp://{self.where}{port}{self.path}"
