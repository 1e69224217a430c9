"""A folder of another machine, over SFTP.

Through asyncssh, which sshfs is built upon: sshfs checks no host key unless told to, follows links, and replaces what
it renames over; paramiko, as fsspec takes it, trusts each host at first and needs a thread for each file.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath

import asyncssh

from serve_app.domain import (
    FileChangedError,
    FileGoneError,
    FileUnreadableError,
    StorageRefusedError,
    TooLargeError,
)
from serve_app.storage.scan.source import StoredFile, Wanted
from serve_app.storage.scan.stores.addresses import Server
from serve_app.storage.scan.stores.elsewhere import StoreElsewhere
from serve_app.storage.scan.stores.parts import in_parts
from serve_app.storage.scan.stores.sftp_session import Opened, SftpSession
from serve_app.storage.scan.stores.tries import ANSWER_S, Sent, longest_s, with_tries

_FOLDERS_AT_ONCE = 4
_FOLDER_S = 600.0
_CHUNK_BYTES = 4 * 1024 * 1024

_PRIVATE = asyncssh.SFTPAttrs(permissions=0o700)


class SftpSource(StoreElsewhere):
    """:class:`~serve_app.storage.scan.source.Source` of a folder behind SFTP.

    The protocol opens by path alone: that no part of a path is a link is asked before, and not enforced by the server
    as it is on this machine. Who may put links there while a scan runs may thus make it read another file.
    """

    def __init__(
        self,
        server: Server,
        quarantine: PurePosixPath | None = None,
        answer_s: float = ANSWER_S,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Nothing is asked yet.

        Args:
            server: where.
            quarantine: a folder below its path that is not scanned.
            answer_s: how long the server may be silent.
            sleep: between tries.
        """
        self._server = server
        self._session = SftpSession(server, answer_s)
        self._answer_s = answer_s
        super().__init__(self._session, quarantine, sleep)

    @property
    def url(self) -> str:
        """See the port."""
        return self._server.url

    def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        """See the port. A folder's names are in memory while it is listed; several are listed at once."""
        return in_parts(self._folders(wanted.prefix), wanted)

    async def _folders(self, prefix: str) -> AsyncGenerator[Sequence[StoredFile], None]:
        """The files of each folder that has some, as the folders come in."""
        folders, running = [""], set[asyncio.Task[tuple[list[StoredFile], list[str]]]]()
        try:
            while folders or running:
                while folders and len(running) < _FOLDERS_AT_ONCE:
                    running.add(asyncio.create_task(self._folder(folders.pop(), prefix)))
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    files, inner = task.result()
                    folders += reversed(inner)
                    yield files
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _folder(self, folder: str, prefix: str) -> tuple[list[StoredFile], list[str]]:
        try:
            return await with_tries(lambda: self._listed(folder, prefix), self._sleep)
        except FileGoneError:
            return [], []
        except FileUnreadableError as error:
            if not folder:
                raise StorageRefusedError(f"{self._server.url} may not be listed: {error}") from error
            return [StoredFile(folder, 0, "")], []

    async def _listed(self, folder: str, prefix: str) -> tuple[list[StoredFile], list[str]]:
        """The files and the folders of a folder, by name."""
        files, inner = list[StoredFile](), list[str]()
        async with self._session.asked(_FOLDER_S) as opened:
            async for entry in opened.sftp.scandir(opened.root + folder):
                part, attributes = str(entry.filename), entry.attrs
                name = folder + part
                if part.startswith(".") or "/" in part:
                    continue
                if attributes.permissions is None:
                    attributes = await opened.sftp.lstat(opened.root + name)
                if stat.S_ISREG(attributes.permissions or 0):
                    files.append(_listed(name, attributes))
                elif stat.S_ISDIR(attributes.permissions or 0) and self._has_wanted(f"{name}/", prefix):
                    inner.append(f"{name}/")
        return sorted(files, key=lambda file: file.name), sorted(inner)

    def _has_wanted(self, folder: str, prefix: str) -> bool:
        return folder != self._quarantine and (folder.startswith(prefix) or prefix.startswith(folder))

    async def _read(self, file: StoredFile, max_bytes: int) -> bytes:
        async with self._session.asked(longest_s(file.size_bytes, self._answer_s)) as opened:
            size_bytes = (await _attributes(opened, file)).size or 0
            if size_bytes > max_bytes:
                raise TooLargeError(f"{size_bytes:,} bytes; the limit is {max_bytes:,}")
            if not size_bytes:
                return b""
            async with opened.sftp.open(opened.root + file.name, "rb") as content:
                return await content.read(size_bytes)

    async def _remove(self, file: StoredFile, sha256: str, sent: Sent) -> None:
        async with self._about(file, sent) as opened:
            await _require_unchanged(opened, file, sha256)
            sent.is_sent = True
            await opened.sftp.remove(opened.root + file.name)

    async def _move(self, file: StoredFile, sha256: str, quarantine: str, sent: Sent) -> None:
        target = f"{quarantine}{file.name}"
        async with self._about(file, sent) as opened:
            await _require_unchanged(opened, file, sha256)
            await _make_folders(opened, target)
            sent.is_sent = True
            try:
                # Unlike posix_rename, it replaces nothing that is there.
                await opened.sftp.rename(opened.root + file.name, opened.root + target)
            except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
                if not await opened.sftp.lexists(opened.root + target):
                    raise
                await opened.sftp.posix_rename(opened.root + file.name, f"{opened.root}{target}.{sha256}")

    @contextlib.asynccontextmanager
    async def _about(self, file: StoredFile, sent: Sent) -> AsyncIterator[Opened]:
        """The session, to take a file away; if it is gone since that was sent, all is done."""
        was_sent = sent.is_sent
        try:
            async with self._session.asked(longest_s(file.size_bytes, self._answer_s)) as opened:
                yield opened
        except FileGoneError:
            if not was_sent:
                raise


def _listed(name: str, attributes: asyncssh.SFTPAttrs) -> StoredFile:
    size_bytes, mtime_s = attributes.size or 0, attributes.mtime or 0
    return StoredFile(name, size_bytes, f"{mtime_s}-{size_bytes}", datetime.fromtimestamp(mtime_s, UTC))


async def _attributes(opened: Opened, file: StoredFile) -> asyncssh.SFTPAttrs:
    """Of a regular file. To open a pipe would keep the server waiting for a writer."""
    attributes = await opened.sftp.lstat(opened.root + file.name)
    if stat.S_ISDIR(attributes.permissions or 0):
        async for _ in opened.sftp.scandir(opened.root + file.name):
            break
        raise FileUnreadableError("it is a folder")
    if not stat.S_ISREG(attributes.permissions or 0):
        raise FileUnreadableError("it is no file")
    return attributes


async def _require_unchanged(opened: Opened, file: StoredFile, sha256: str) -> None:
    """Raise if the bytes under this name are not these, or another file takes the name meanwhile."""
    folder = (opened.root + file.name).rpartition("/")[0]
    if await opened.sftp.realpath(folder or "/") != (folder or "/"):
        raise FileUnreadableError("a link leads to its folder")
    before, digest = await _attributes(opened, file), hashlib.sha256()
    async with opened.sftp.open(opened.root + file.name, "rb") as content:
        part: bytes = await content.read(_CHUNK_BYTES)
        while part:
            digest.update(part)
            part = await content.read(_CHUNK_BYTES)
    now = await _attributes(opened, file)
    if digest.hexdigest() != sha256 or (now.size, now.mtime) != (before.size, before.mtime):
        raise FileChangedError("it has changed since it was scanned: the next run scans it again")


async def _make_folders(opened: Opened, name: str) -> None:
    """The folders of a file that is to be, where they lack; none of them may be a link."""
    path = opened.root
    for part in name.split("/")[:-1]:
        path += part
        with contextlib.suppress(asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
            await opened.sftp.mkdir(path, _PRIVATE)
        if not stat.S_ISDIR((await opened.sftp.lstat(path)).permissions or 0):
            raise FileUnreadableError("a folder of the quarantine is no folder")
        path += "/"
