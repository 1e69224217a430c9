"""The session with an SFTP server: opened when it is needed, opened again when it broke, its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import asyncssh

from serve_app.domain import (
    FileGoneError,
    FileUnreadableError,
    StorageError,
    StorageRefusedError,
    StorageUnavailableError,
)
from serve_app.storage.scan.stores.addresses import Server

_CONNECT_S = 20.0
_KEEP_ALIVE_S = 15.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A session.

    Attributes:
        connection: of SSH.
        sftp: paths in it are text, with surrogates for what is no UTF-8.
        root: the folder of the store, without links in it; it ends with a slash.
    """

    connection: asyncssh.SSHClientConnection
    sftp: asyncssh.SFTPClient
    root: str


class SftpSession:
    """One connection for all calls, whose requests overlap.

    Who logs in, with which key, and which key the server must have is in ``~/.ssh`` and in ssh-agent, as for ``sftp``.
    """

    def __init__(self, server: Server, answer_s: float) -> None:
        self._server = server
        self._answer_s = answer_s
        self._opening = asyncio.Lock()
        self._opened: Opened | None = None

    @contextlib.asynccontextmanager
    async def asked(self, longest_s: float) -> AsyncIterator[Opened]:
        """The session, for requests about a file or a folder that take ``longest_s`` at most.

        Then the connection is given up: its requests could not be ended otherwise.
        """
        opened = await self._connected()
        watch = asyncio.get_running_loop().call_later(longest_s, opened.connection.abort)
        try:
            yield opened
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
            raise FileGoneError("it is not there any more") from error
        except asyncssh.SFTPPermissionDenied as error:
            raise FileUnreadableError("permission denied") from error
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError, OSError) as error:
            self._give_up(opened)
            raise self._silent() from error
        except asyncssh.SFTPError as error:
            raise FileUnreadableError(f"the server answers: {_printable(error.reason)}") from error
        except asyncssh.Error as error:
            self._give_up(opened)
            raise self._silent() from error
        finally:
            watch.cancel()

    async def close(self) -> None:
        """End it."""
        if self._opened is not None:
            self._opened.connection.close()
            await self._opened.connection.wait_closed()

    def _give_up(self, opened: Opened) -> None:
        opened.connection.abort()
        if self._opened is opened:
            self._opened = None

    async def _connected(self) -> Opened:
        async with self._opening:
            if self._opened is None or self._opened.connection.is_closed():
                with self._words():
                    async with asyncio.timeout(_CONNECT_S + self._answer_s):
                        self._opened = await self._connect()
            return self._opened

    async def _connect(self) -> Opened:
        connection = await asyncssh.connect(
            self._server.host,
            () if self._server.port is None else self._server.port,
            username=() if self._server.user is None else self._server.user,
            connect_timeout=_CONNECT_S,
            keepalive_interval=_KEEP_ALIVE_S,
        )
        try:
            sftp = await connection.start_sftp_client(path_errors="surrogateescape")
            root = await self._root(sftp)
        except BaseException:
            connection.abort()
            raise
        return Opened(connection, sftp, root)

    async def _root(self, sftp: asyncssh.SFTPClient) -> str:
        try:
            root = await sftp.realpath(self._server.path)
            if await sftp.isdir(root):
                return f"{root.rstrip('/')}/"
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPPermissionDenied):
            pass
        raise self._refused("there is no such folder, or this user may not enter it")

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
        """Errors of a login, in ours."""
        try:
            yield
        except asyncssh.HostKeyNotVerifiable as error:
            raise self._refused(
                "its host key is not the one of ~/.ssh/known_hosts, or not in it: connect to it once with `sftp`, and "
                "compare the fingerprint with the server's before you accept it"
            ) from error
        except asyncssh.PermissionDenied as error:
            raise self._refused(
                "it refuses the login: add the key to ssh-agent or name it in ~/.ssh/config, and its public half in "
                "~/.ssh/authorized_keys of the server"
            ) from error
        except asyncssh.ChannelOpenError as error:
            raise self._refused("it offers no SFTP: enable `Subsystem sftp` in its sshd_config") from error
        except (asyncssh.KeyExchangeFailed, asyncssh.ProtocolNotSupported, asyncssh.IllegalUserName) as error:
            raise self._refused(f"no login is possible: {_printable(error.reason)}") from error
        except (asyncssh.Error, OSError) as error:
            raise self._silent() from error
        except ValueError as error:
            raise self._refused(f"~/.ssh/config or a key of ~/.ssh cannot be read: {_printable(str(error))}") from error

    def _refused(self, why: str) -> StorageError:
        return StorageRefusedError(f"{self._server.where}: {why}")

    def _silent(self) -> StorageError:
        return StorageUnavailableError(f"{self._server.where} does not answer, or the connection broke")


def _printable(text: str) -> str:
    return "".join(each for each in text[:200] if each.isprintable())
