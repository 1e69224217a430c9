"""A folder of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from serve_app.domain import (
    FileChangedError,
    FileGoneError,
    FileUnreadableError,
    SettingsError,
    StorageRefusedError,
    TooLargeError,
)
from serve_app.storage.scan.ordering import in_order
from serve_app.storage.scan.source import MOST_LISTED, StoredFile, Wanted

_CHUNK_BYTES = 1024 * 1024

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# To open a pipe would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_PRIVATE = 0o700


class LocalSource:
    """:class:`~serve_app.storage.scan.source.Source` of a folder.

    No link is ever followed, whoever may put one in the place of a folder meanwhile: each part of a name is opened
    below the one before.
    """

    def __init__(self, root: Path, quarantine: PurePosixPath | None = None) -> None:
        """``quarantine`` is a folder below ``root`` that is not scanned.

        Raises:
            SettingsError: ``root`` is no folder that can be opened.
        """
        self._root = root.resolve()
        self._quarantine = quarantine
        try:
            self._root_fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SettingsError(f"{root} cannot be opened: {error.strerror}") from error

    @property
    def url(self) -> str:
        """See the port."""
        return f"file:{os.fsencode(self._root).decode('utf-8', 'backslashreplace')}"

    async def count(self, wanted: Wanted) -> int | None:
        """See the port."""
        return await asyncio.to_thread(lambda: sum(1 for _ in self._wanted(wanted)))

    async def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        """See the port."""
        files = self._wanted(wanted)
        while part := await asyncio.to_thread(lambda: list(itertools.islice(files, MOST_LISTED))):
            yield part

    async def read(self, file: StoredFile, max_bytes: int) -> bytes:
        """See the port."""
        return await asyncio.to_thread(self._read, file, max_bytes)

    async def remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """See the port."""
        return await asyncio.to_thread(self._remove, file, sha256)

    async def quarantine(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """See the port. It keeps its name, below the folder of the quarantine."""
        return await asyncio.to_thread(self._move, file, sha256)

    async def close(self) -> None:
        """See the port."""
        os.close(self._root_fd)

    def _wanted(self, wanted: Wanted) -> Iterator[StoredFile]:
        return in_order(filter(wanted.has, self._all()), wanted)

    def _all(self) -> Iterator[StoredFile]:
        """The files of each folder, and then its folders; by name."""
        folders = [""]
        while folders:
            folder = folders.pop()
            inner: list[str] = []
            try:
                with self._opened(folder) as fd:
                    yield from self._in_folder(fd, folder, inner)
            except FileNotFoundError:
                continue
            except OSError:
                yield StoredFile(folder, 0, "")
            folders += reversed(inner)

    def _in_folder(self, fd: int, folder: str, inner: list[str]) -> Iterator[StoredFile]:
        """Its files; its folders are added to ``inner``."""
        with os.scandir(fd) as entries:
            # Names and a bit each: the entries themselves take ten times the memory.
            found = sorted((each.name, each.is_dir(follow_symlinks=False)) for each in entries if each.name[0] != ".")
        for name, is_folder in found:
            if not is_folder:
                with contextlib.suppress(OSError):
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield _listed(folder + name, status)
            elif f"{folder}{name}" != str(self._quarantine):
                inner.append(f"{folder}{name}/")

    def _read(self, file: StoredFile, max_bytes: int) -> bytes:
        with _words(file), self._opened_file(file.name) as fd:
            size_bytes = os.fstat(fd).st_size
            if size_bytes > max_bytes:
                raise TooLargeError(f"{size_bytes:,} bytes; the limit is {max_bytes:,}")
            body = bytearray()
            while part := os.read(fd, _CHUNK_BYTES):
                body += part
                if len(body) > max_bytes:
                    raise TooLargeError(f"it grows; the limit is {max_bytes:,} bytes")
            return bytes(body)

    def _remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        with _words(file), self._parent(file.name) as (fd, last):
            self._require_unchanged(file, sha256, fd, last)
            os.unlink(last, dir_fd=fd)
        return (file.name,)

    def _move(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        if self._quarantine is None:
            raise StorageRefusedError("no folder of the quarantine is named")
        target = f"{self._quarantine}/{file.name}"
        with _words(file), self._parent(file.name) as (fd, last):
            self._require_unchanged(file, sha256, fd, last)
            with self._made(target) as (target_fd, target_last):
                # Unlike a rename, a link replaces nothing that is there.
                with contextlib.suppress(FileExistsError):
                    os.link(last, target_last, src_dir_fd=fd, dst_dir_fd=target_fd, follow_symlinks=False)
                    os.unlink(last, dir_fd=fd)
                    return (file.name,)
                other = f"{target_last}.{sha256}"
                os.rename(last, other, src_dir_fd=fd, dst_dir_fd=target_fd)
        return (file.name,)

    def _require_unchanged(self, file: StoredFile, sha256: str, folder_fd: int, last: str) -> None:
        """Raise if the bytes under this name are not these, or another file takes the name meanwhile."""
        digest = hashlib.sha256()
        with self._opened_file(file.name) as fd:
            before = os.fstat(fd)
            while part := os.read(fd, _CHUNK_BYTES):
                digest.update(part)
        now = os.stat(last, dir_fd=folder_fd, follow_symlinks=False)
        if digest.hexdigest() != sha256 or (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
            raise FileChangedError(f"{file.name} has changed since it was scanned: the next run scans it again")

    @contextlib.contextmanager
    def _opened_file(self, name: str) -> Iterator[int]:
        with self._parent(name) as (folder, last):
            if not last:
                with self._opened(name) as opened, os.scandir(opened):
                    raise FileUnreadableError("it is a folder")
            fd = os.open(last, _FILE, dir_fd=folder)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise FileUnreadableError("it is no file")
                yield fd
            finally:
                os.close(fd)

    @contextlib.contextmanager
    def _parent(self, name: str) -> Iterator[tuple[int, str]]:
        folder, _, last = name.rpartition("/")
        with self._opened(folder) as fd:
            yield fd, last

    @contextlib.contextmanager
    def _opened(self, folder: str) -> Iterator[int]:
        fd = os.dup(self._root_fd)
        try:
            for part in filter(None, folder.split("/")):
                inner = os.open(part, _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _made(self, name: str) -> Iterator[tuple[int, str]]:
        """The folder of a file that is to be, and the last part of its name; folders are made where they lack."""
        *folders, last = name.split("/")
        fd = os.dup(self._root_fd)
        try:
            for part in folders:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, _PRIVATE, dir_fd=fd)
                inner = os.open(part, _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd, last
        finally:
            os.close(fd)


def _listed(name: str, status: os.stat_result) -> StoredFile:
    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return StoredFile(name, status.st_size, f"{status.st_mtime_ns}-{status.st_size}", modified_at)


@contextlib.contextmanager
def _words(file: StoredFile) -> Iterator[None]:
    """Errors of the file system, in ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileGoneError(f"{file.name} is not there any more") from error
    except OSError as error:
        raise FileUnreadableError(error.strerror or "an error of the file system") from error
