"""A folder of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import itertools
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from serve_app.concurrency.coalescing import Coalescer
from serve_app.domain import (
    FileChangedError,
    FileGoneError,
    FileUnreadableError,
    SettingsError,
    StorageRefusedError,
    TooLargeError,
)
from serve_app.storage.scan.source import MOST_LISTED, StoredFile, Wanted
from serve_app.storage.scan.stores.addresses import Folder
from serve_app.storage.scan.stores.ordering import in_order

_CHUNK_BYTES = 1024 * 1024

# A thread takes longer to be asked than to read so little: it reads several in one go.
_SMALL_BYTES = 64 * 1024
_READ_AT_ONCE = 8
# Where a file system is slow, so many files are read at once.
_READING_THREADS = 4

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# To open a pipe would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600

_CLOSED = -1


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
        self._root = Folder(root).resolved.path
        self._quarantine = quarantine
        self._small_reads = Coalescer(None, self._read_all, _READING_THREADS, _READ_AT_ONCE)
        try:
            self._root_fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SettingsError(f"{root} cannot be opened: {error.strerror}") from error

    @property
    def url(self) -> str:
        """See the port."""
        return Folder(self._root).url

    @property
    def audit_name(self) -> str | None:
        """See the port."""
        return self.url

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
        if file.size_bytes <= _SMALL_BYTES:
            return await self._small_reads.do((file, max_bytes))
        return await asyncio.to_thread(self._read, file, max_bytes)

    async def remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """See the port."""
        return await asyncio.to_thread(self._remove, file, sha256)

    async def quarantine(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """See the port. It keeps its name, below the folder of the quarantine."""
        return await asyncio.to_thread(self._move, file, sha256)

    async def close(self) -> None:
        """See the port."""
        if self._root_fd != _CLOSED:
            # A thread that a cancellation left behind must not take the next file of this number for the folder.
            fd, self._root_fd = self._root_fd, _CLOSED
            os.close(fd)

    def _wanted(self, wanted: Wanted) -> Iterator[StoredFile]:
        return in_order(self._all(wanted), wanted)

    def _all(self, wanted: Wanted) -> Iterator[StoredFile]:
        """The files of each folder, and then its folders; by name."""
        folders = [""]
        while folders:
            folder = folders.pop()
            inner: list[str] = []
            try:
                with self._opened(folder) as fd:
                    yield from filter(wanted.has, self._in_folder(fd, folder, inner))
            except FileNotFoundError:
                continue
            except OSError:
                yield StoredFile(folder, 0, "")
            prefix = wanted.prefix
            folders += [each for each in reversed(inner) if each.startswith(prefix) or prefix.startswith(each)]

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
            elif self._quarantine is None or f"{folder}{name}" != str(self._quarantine):
                inner.append(f"{folder}{name}/")

    def _read_all(self, wanted: Sequence[tuple[StoredFile, int]]) -> Sequence[bytes | Exception]:
        return [self._read_or_error(*each) for each in wanted]

    def _read_or_error(self, file: StoredFile, max_bytes: int) -> bytes | Exception:
        try:
            return self._read(file, max_bytes)
        except Exception as error:
            return error

    def _read(self, file: StoredFile, max_bytes: int) -> bytes:
        with _words(), self._opened_file(file.name) as fd:
            size_bytes = os.fstat(fd).st_size
            if size_bytes > max_bytes:
                raise TooLargeError(f"{size_bytes:,} bytes; the limit is {max_bytes:,}")
            # Its bytes are handed over without a copy.
            body = io.BytesIO()
            while part := os.read(fd, _CHUNK_BYTES):
                body.write(part)
                if body.tell() > max_bytes:
                    raise TooLargeError(f"it grows; the limit is {max_bytes:,} bytes")
            return body.getvalue()

    def _remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        with _words(), self._parent(file.name) as (fd, last):
            self._require_unchanged(file, sha256, fd, last)
            os.unlink(last, dir_fd=fd)
            _sync(fd)
        return (file.name,)

    def _move(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        if self._quarantine is None:
            raise StorageRefusedError("nobody has said where quarantined files go: name a folder with --quarantine")
        with _words(), self._parent(file.name) as (fd, last):
            self._require_unchanged(file, sha256, fd, last)
            with self._made(f"{self._quarantine}/{file.name}") as (target_fd, target_last):
                target = _reserved(target_fd, target_last, sha256)
                try:
                    os.rename(last, target, src_dir_fd=fd, dst_dir_fd=target_fd)
                except OSError as error:
                    os.unlink(target, dir_fd=target_fd)
                    if error.errno == errno.EXDEV:
                        raise StorageRefusedError(
                            f"the quarantine {self._quarantine} is on another file system than {self.url}: "
                            "name a folder on the same one"
                        ) from error
                    raise
                _sync(target_fd)
            _sync(fd)
        return (file.name,)

    def _require_unchanged(self, file: StoredFile, sha256: str, folder_fd: int, last: str) -> None:
        """Raise if the bytes under this name are not these, or another file takes the name meanwhile."""
        digest = hashlib.sha256()
        before = os.stat(last, dir_fd=folder_fd, follow_symlinks=False)
        if stat.S_ISREG(before.st_mode):
            with self._opened_file(file.name) as fd:
                before = os.fstat(fd)
                while part := os.read(fd, _CHUNK_BYTES):
                    digest.update(part)
        now = os.stat(last, dir_fd=folder_fd, follow_symlinks=False)
        if digest.hexdigest() != sha256 or _identity(now) != _identity(before):
            raise FileChangedError("it has changed since it was scanned: the next run scans it again")

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
        # Not a duplicate, which would share its place in the listing with all others.
        fd = os.open(".", _FOLDER, dir_fd=self._root_fd)
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
                    os.mkdir(part, _PRIVATE_FOLDER, dir_fd=fd)
                inner = os.open(part, _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd, last
        finally:
            os.close(fd)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """Another one as soon as the name has another file, or the file other bytes."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _listed(name: str, status: os.stat_result) -> StoredFile:
    try:
        modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    except (ValueError, OverflowError):  # of a year that has five digits, or none
        modified_at = None
    return StoredFile(name, status.st_size, f"{status.st_mtime_ns}-{status.st_size}", modified_at)


def _reserved(folder_fd: int, name: str, sha256: str) -> str:
    """An empty file that a rename may replace: of this name, or named by the digest where that is taken.

    Links would do without it, and are forbidden for files of others (``fs.protected_hardlinks``).
    """
    for each in itertools.chain((name, sha256), (f"{sha256}-{number}" for number in itertools.count(2))):
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(each, flags, _PRIVATE_FILE, dir_fd=folder_fd))
            return each
    raise AssertionError("numbers never end")


def _sync(folder_fd: int) -> None:
    """Have a change of a folder survive a power cut, where its file system can."""
    with contextlib.suppress(OSError):
        os.fsync(folder_fd)


@contextlib.contextmanager
def _words() -> Iterator[None]:
    """Errors of the file system, in ours."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:  # the latter: no folder leads to it any more
        raise FileGoneError("it is not there any more") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileUnreadableError("it is a link") from error
        raise FileUnreadableError(error.strerror or "an error of the file system") from error
