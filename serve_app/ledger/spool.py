"""The spool: a file for the entries that cannot be written to the database, until they can.

Its room is reserved when it is opened, so that it can be written on a full disk. Entries stand in it one after the
other, a line each, and zeros follow; a line that was torn by the death of the machine ends them too. One process writes
a spool, under a lock that dies with it. :func:`abandoned_spools` finds those of processes that are gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from serve_app.domain import ConfigurationError, in_words
from serve_app.host.state_folder import make_private_folder
from serve_app.ledger.entries import Entry, Importance

MAX_SPOOL_BYTES = 64_000_000
"""About 30,000 ordinary decisions; accepted ones, which may fill half of it, 16,000."""

RESERVED_BYTES = 4_000_000

# Making a spool takes some calls of the system, and never so long.
_MADE_WITHIN_S = 3600.0

# The share of the room that entries of an importance may fill. The rest is for more important ones, and pending
# decisions are written for as long as the disk has room.
_SHARES: Mapping[Importance, float] = {Importance.ACCEPTED: 0.5, Importance.REFUSED: 0.75}


class FullSpoolError(Exception):
    """There is no room for an entry of this importance."""


@in_words.register
def _(error: FullSpoolError) -> str:
    return str(error)


class Spool:
    """A spool of this process. Its methods are for threads, of which several may call at once."""

    def __init__(self, file: Path, descriptor: int, max_bytes: int, reserved_bytes: int) -> None:
        """Use :meth:`create`, or :func:`abandoned_spools`."""
        self.file = file
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._reserved_bytes = reserved_bytes
        self._lock = threading.Lock()
        self._room_bytes = os.fstat(descriptor).st_size
        self._ends = _ends_of_lines(_read(descriptor))
        self._taken = 0
        self._behind_since_s = time.monotonic() if self._ends else None
        # Whose shared rows stand in the file.
        self._contexts: set[int] = set()

    @classmethod
    def create(
        cls, folder: Path, name: str, max_bytes: int = MAX_SPOOL_BYTES, reserved_bytes: int = RESERVED_BYTES
    ) -> Self:
        """A new spool in ``folder``, for the database ``name``.

        Raises:
            ConfigurationError: it cannot be made there, or the disk has no room for it.
        """
        file = folder / f"{name}.spool-{uuid.uuid4().hex}"
        # Until it is locked, another process would take it for one whose process has ended.
        unlocked = folder / f".{file.name}"
        try:
            make_private_folder(folder)
            _remove_unlocked(folder, name)
            descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                unlocked.rename(file)
                os.posix_fallocate(descriptor, 0, reserved_bytes)
                _sync_folder(folder)
            except OSError:
                os.close(descriptor)
                for each in (unlocked, file):
                    each.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ConfigurationError(
                f"the ledger's spool in {folder} cannot be made ({error.strerror}): it needs "
                f"{reserved_bytes / 1e6:.0f} MB in a folder that the service can write"
            ) from error
        return cls(file, descriptor, max_bytes, reserved_bytes)

    def __len__(self) -> int:
        """Entries that wait."""
        return len(self._ends) - self._taken

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the file that are in use."""
        return self._used_bytes

    @property
    def lag_s(self) -> float:
        """Seconds since no entry waited; 0 if none does."""
        since_s = self._behind_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def append(self, entries: Sequence[Entry]) -> list[bool]:
        """Add entries, to the disk, as far as there is room: for each one whether it was added.

        Raises:
            OSError: the file cannot be written.
        """
        with self._lock:
            began = position = self._used_bytes
            added, lines, ends, contexts = [], list[bytes](), list[int](), set(self._contexts)
            for entry in entries:
                line = entry.line(with_shared=entry.context not in contexts)
                has_room = self._has_room(position + len(line), entry.importance)
                added.append(has_room)
                if has_room:
                    position += len(line)
                    lines.append(line)
                    ends.append(position)
                    contexts.add(entry.context)
            if lines:
                _write(self._descriptor, b"".join(lines), began)
                os.fdatasync(self._descriptor)
            self._room_bytes = max(self._room_bytes, position)
            if ends and self._behind_since_s is None:
                self._behind_since_s = time.monotonic()
            self._ends += ends
            self._contexts = contexts
            return added

    def waiting(self, most: int) -> list[Entry]:
        """The first entries, in the order in which they were added.

        Raises:
            OSError: the file cannot be read.
        """
        with self._lock:
            ends = self._ends[self._taken : self._taken + most]
            if not ends:
                return []
            began = self._ends[self._taken - 1] if self._taken else 0
            content = os.pread(self._descriptor, ends[-1] - began, began)
            return [Entry.from_line(line) for line in content.splitlines()]

    def take(self, count: int) -> None:
        """The first ``count`` entries are in the database. After the last one the file is empty again.

        Raises:
            OSError: the file cannot be written; the entries will be written to the database again, to no effect.
        """
        with self._lock:
            self._taken += count
            if self._taken < len(self._ends):
                return
            used_bytes, self._ends, self._taken, self._contexts = self._used_bytes, [], 0, set()
            self._behind_since_s = None
            if self._room_bytes > self._reserved_bytes:
                os.ftruncate(self._descriptor, self._reserved_bytes)
                self._room_bytes = self._reserved_bytes
            # The room stays reserved, and nothing of the entries stays in it.
            _write(self._descriptor, bytes(min(used_bytes, self._room_bytes)), 0)
            os.fdatasync(self._descriptor)

    @property
    def _used_bytes(self) -> int:
        return self._ends[-1] if self._ends else 0

    def close(self) -> None:
        """Give the lock up; an empty spool is removed."""
        with self._lock, contextlib.suppress(OSError):
            if not len(self):
                self.file.unlink()
        os.close(self._descriptor)

    def _has_room(self, needed_bytes: int, importance: Importance) -> bool:
        if importance is Importance.PENDING:
            return True
        share = _SHARES[importance]
        while needed_bytes > self._room_bytes * share:
            if not self._grow():
                return False
        return True

    def _grow(self) -> bool:
        """Reserve twice the room."""
        wanted_bytes = min(2 * self._room_bytes, self._max_bytes)
        if wanted_bytes <= self._room_bytes:
            return False
        try:
            os.posix_fallocate(self._descriptor, self._room_bytes, wanted_bytes - self._room_bytes)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._room_bytes)  # some of it may have been reserved
            return False
        self._room_bytes = wanted_bytes
        return True


def abandoned_spools(folder: Path, name: str) -> Iterator[Spool]:
    """The spools for the database ``name`` of processes that have ended. Close each after use."""
    for file in sorted(folder.glob(f"{glob.escape(name)}.spool-*")):
        with contextlib.suppress(OSError):
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                spool = Spool(file, descriptor, 0, os.fstat(descriptor).st_size)
            except OSError:  # another process has it
                os.close(descriptor)
                continue
            yield spool


def _remove_unlocked(folder: Path, name: str) -> None:
    """Remove what processes have left that were killed while they made a spool. There is nothing in it."""
    for file in folder.glob(f".{glob.escape(name)}.spool-*"):
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mtime < time.time() - _MADE_WITHIN_S:
                file.unlink()


def _read(descriptor: int) -> bytes:
    """The file up to its zeros."""
    parts, position = [], 0
    while part := os.pread(descriptor, 1 << 20, position):
        parts.append(part)
        position += len(part)
        if b"\0" in part:
            break
    return b"".join(parts).partition(b"\0")[0]


def _ends_of_lines(content: bytes) -> list[int]:
    """Where each whole line ends, up to the first that is torn."""
    ends, position = [], 0
    for line in content.splitlines(keepends=True):
        try:
            Entry.from_line(line)
        except (ValueError, TypeError, AttributeError):
            break
        if not line.endswith(b"\n"):
            break
        position += len(line)
        ends.append(position)
    return ends


def _write(descriptor: int, content: bytes, position: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
