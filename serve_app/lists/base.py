"""The base of the lists: a file, mapped, one for each node. Whichever process finds it outdated builds it for all.

Without a file, or where it cannot be written, a process has its base in memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serve_app.domain import ConfigurationError, in_words
from serve_app.domain.lists import Bank
from serve_app.lists.partition import Partition, PartitionBuilder, partition_of
from serve_app.lists.partition_file import IndexFileError, Origin, open_partition, remove_unfinished, write_partition
from serve_app.lists.snapshot import Snapshot
from serve_app.lists.store import ListStore
from serve_app.logs import EventLogger

logger = EventLogger(__name__)


@dataclass(frozen=True, slots=True)
class Base:
    """All entries of one version. One that was never built is empty."""

    partition: Partition
    origin: Origin
    is_built: bool = True


def empty_base(lineage: str) -> Base:
    """What a process begins with that has none."""
    return Base(partition_of([]), Origin(lineage, 0), is_built=False)


class Bases:
    """Opens and builds bases of ``store``; one thread may build while another one opens."""

    def __init__(self, store: ListStore, file: Path | None) -> None:
        """``file`` is None to have the base in memory."""
        self._store = store
        self._file = file
        self._opened: tuple[int, int] | None = None
        self._in_memory: Base | None = None

    def newest(self, current: Base, store: Origin) -> Base:
        """The base of ``store``, which is ``current`` if there is no newer one; an empty one if none belongs to it."""
        candidates = [self._in_memory, self._in_file()]
        newest = current if _belongs(current.origin, store) else empty_base(store.lineage)
        for each in candidates:
            if each is not None and _belongs(each.origin, store) and each.origin.version >= newest.origin.version:
                newest = each
        if self._in_memory is not None and self._in_memory.origin.version < newest.origin.version:
            self._in_memory = None
        return newest

    def _in_file(self) -> Base | None:
        """The base in the file, if it was not opened before."""
        file = _identity(self._file)
        if self._file is None or file is None or file == self._opened:
            return None
        self._opened = file
        try:
            index = open_partition(self._file)
        except IndexFileError as error:
            logger.error("index_unusable", f"the index of the lists is built again: {error}", why=str(error))
            return None
        return Base(index.partition, index.origin)

    def without_store(self, error: Exception) -> tuple[Base, Snapshot]:
        """The lists as the file has them: older ones are better than none, and than a service that does not start.

        Raises:
            ConfigurationError: there is no file either.
        """
        try:
            if self._file is None:
                raise IndexFileError("there is no index")
            index = open_partition(self._file)
        except IndexFileError:
            raise ConfigurationError(
                f"the lists cannot be read from the database ({in_words(error)}), and this machine has no index "
                "of them: see that the database answers, and start again"
            ) from error
        base = Base(index.partition, index.origin)
        return base, Snapshot(index.origin.version, index.banks, index.partition, partition_of([]))

    def build(self, *, waits: bool) -> None:
        """Build the base anew, unless another process does: ``waits`` until that has ended. It takes seconds a million.

        Raises:
            Exception: the store cannot be read.
        """
        before = _identity(self._file)
        with _alone(self._file, waits=waits) as is_alone:
            if not is_alone or _identity(self._file) != before:
                return
            builder, origin, banks = self._read()
            try:
                if self._file is not None:
                    remove_unfinished(self._file)
                    write_partition(builder, origin, banks, self._file)
                    return
            except OSError as error:
                why = in_words(error)
                text = f"the index of the lists was not built, so that they take memory: {why}"
                logger.error("index_not_written", text, why=why)
            self._in_memory = Base(Partition(builder.finish()), origin)

    def _read(self) -> tuple[PartitionBuilder, Origin, list[Bank]]:
        lineage = self._store.origin().lineage
        builder = PartitionBuilder()
        with self._store.everything() as stored:
            for each in stored.entries:
                builder.add(each)
        return builder, Origin(lineage, stored.version), list(stored.banks.values())


@contextlib.contextmanager
def _alone(file: Path | None, *, waits: bool) -> Iterator[bool]:
    """Whether no other process builds ``file`` until the block ends. Where none can be written, nobody does."""
    if file is None:
        yield True
        return
    try:
        lock = os.open(file.with_name(file.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        yield True
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_alone = True
    except BlockingIOError:
        is_alone = False
    try:
        yield is_alone
    finally:
        os.close(lock)


def _belongs(index: Origin, store: Origin) -> bool:
    """Whether an index was built from this store; a version that is ahead was, before a backup was restored."""
    return index.lineage == store.lineage and index.version <= store.version


def _identity(file: Path | None) -> tuple[int, int] | None:
    try:
        stat = file.stat() if file is not None else None
    except FileNotFoundError:
        return None
    return None if stat is None else (stat.st_ino, stat.st_mtime_ns)
