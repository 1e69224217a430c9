"""The lists of a running process: a snapshot that follows the store, and what decisions tell about entries.

Entries lie in two parts. The *base* is a file, mapped, one for each node: whichever process finds it outdated builds
it, in a thread, and all open the new one. The *delta* is what has changed since, in the memory of each process. So a
change works within :data:`POLL_S` and the time to read it, however large the lists are. The base also lets a process
start while the database does not answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from serve_app.answer_log import AnswerLogger
from serve_app.domain import Clock, ConfigurationError
from serve_app.domain.canary import CANARY_BANK
from serve_app.domain.lists import FingerprintType, Match
from serve_app.lists.flood_guard import FloodGuard
from serve_app.lists.partition import Partition, PartitionBuilder, partition_of
from serve_app.lists.partition_file import IndexFileError, Origin, open_partition, remove_unfinished, write_partition
from serve_app.lists.recent import DecidedPicture, LateMatch, RecentPictures, denied
from serve_app.lists.snapshot import Snapshot
from serve_app.lists.store import ListStore

logger = AnswerLogger(__name__)

POLL_S: Final = 0.5

_MAX_DELTA: Final = 20_000
"""Changes that are read and sorted within a fraction of a second."""

_MOST_BUILDS: Final = 3

_REBUILT_EVERY_S: Final = 600.0
"""Smaller deltas become part of the base after a while, so that the next start reads little."""

_HOUSE_KEPT_EVERY_S: Final = 3600.0

_MAX_LATE_MATCHES: Final = 1000

_CLOSE_S: Final = 2.0
"""For the thread that follows a database which hangs: the process ends all the same."""


@dataclass(frozen=True, slots=True)
class _Base:
    partition: Partition
    origin: Origin
    file: tuple[int, int] | None = None
    """The inode and the time of the file that it is mapped from."""


class LiveLists:
    """A snapshot that follows ``store``. Decisions ask :attr:`snapshot` and report to :meth:`decided`."""

    def __init__(
        self,
        store: ListStore,
        index_file: Path | None = None,
        clock: Clock = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read the lists, which may take a while. :meth:`start` follows them from then on.

        Args:
            store: of the entries.
            index_file: of the base; None to have everything in memory.
            clock: for the flood guard.
            wall_clock: for the expiry of entries.

        Raises:
            ConfigurationError: neither the store nor an index of it can be read.
        """
        self.store = store
        self._index_file = index_file
        self._wall_clock = wall_clock
        self._guard = FloodGuard(clock)
        self._guarding = threading.Lock()
        self._to_suspend: deque[Match] = deque()
        self._recent = RecentPictures(clock)
        self._problem: str | None = None
        self._suspended = 0
        self._rebuilding: threading.Thread | None = None
        self._rebuilt_at_s = time.monotonic()
        self._house_kept_at_s = -math.inf
        self._delta = 0
        """How many entries have changed since the base was built."""
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="lists", daemon=True)
        self._late_matches: deque[LateMatch] = deque(maxlen=_MAX_LATE_MATCHES)
        self._base = _empty_base("")
        self.snapshot = self._first_snapshot()
        """The lists as they are now; a decision asks one snapshot, whatever changes meanwhile."""

    @property
    def problem(self) -> str | None:
        """What is wrong with the lists, for people; None if nothing is."""
        suspended = f"have {self._suspended} suspended entries, which match nothing" if self._suspended else None
        return " and ".join(filter(None, (self._problem, suspended))) or None

    def start(self) -> None:
        """Follow the store, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Follow the store no longer, and close it."""
        self._is_closed.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)
        self.store.close()

    def decided(self, picture: DecidedPicture, decided_by: Match | None) -> None:
        """A picture was decided about, by an entry if ``decided_by`` is not None. It takes microseconds.

        The canary counts for nothing. No flood is counted of an exact entry, which matches one file alone, nor of
        pictures about which the policy decides alike: to suspend the entry would change nothing about them.
        """
        if decided_by is not None and decided_by.entry.bank == CANARY_BANK:
            return
        if picture.kept:
            self._recent.add(picture)
        suspect = decided_by
        if suspect is not None and (suspect.type is not FingerprintType.PDQ or picture.kept is picture.kept_by_policy):
            suspect = None
        with self._guarding:
            is_flood = self._guard.picture(picture.sha256, suspect.entry.id if suspect else None)
        if is_flood and suspect is not None:
            self._to_suspend.append(suspect)

    def take_late_matches(self) -> list[LateMatch]:
        """The latest pictures that were let through moments before an entry that denies them, each handed out once."""
        return [self._late_matches.popleft() for _ in range(len(self._late_matches))]

    def refresh(self) -> None:
        """Bring the snapshot up to date with the store, and suspend what the guard has found.

        Raises:
            Exception: the store cannot be read or written; the snapshot stays as it is.
        """
        self._suspend()
        origin = self.store.origin()
        base = self._opened_base(origin)
        if base is not self._base or origin.version != self.snapshot.version:
            self.snapshot = self._read(base, origin.lineage)
        # Also without a change: what an old base lacks, a machine that was off for long could not read any more.
        self._rebuild_if_due(origin.lineage)
        self._compare_recent(self.snapshot)

    def _first_snapshot(self) -> Snapshot:
        try:
            origin = self.store.origin()
            return self._read(self._opened_base(origin), origin.lineage)
        except Exception as error:
            return self._without_store(error)

    def _read(self, base: _Base, lineage: str) -> Snapshot:
        """The lists as they are, from ``base`` and what has changed since; from a new base, if that is too much."""
        base = self._built_if_large(base, lineage)
        changes = self.store.changes_since(base.origin.version)
        if not changes.is_complete:
            self._remove_index(base)
            base = self._built_if_large(_empty_base(lineage), lineage)
            changes = self.store.changes_since(base.origin.version)
        gone = changes.removed | {each.id for each in changes.entries}
        snapshot = Snapshot(changes.version, changes.banks, base.partition, partition_of(changes.entries), gone)
        self._suspended = self.store.suspended_count()
        self._base, self._delta = base, len(changes.entries) + len(changes.removed)
        return snapshot

    def _remove_index(self, base: _Base) -> None:
        """Remove the file of ``base``, which is too old to be brought up to date; a newer one stays."""
        if self._index_file is not None and _identity(self._index_file) == base.file:
            with contextlib.suppress(OSError):
                self._index_file.unlink()

    def _without_store(self, error: Exception) -> Snapshot:
        """The lists as the file has them: older ones are better than none, and than a service that does not start."""
        try:
            if self._index_file is None:
                raise IndexFileError("there is no index")
            index = open_partition(self._index_file)
        except IndexFileError:
            raise ConfigurationError(
                f"the lists cannot be read from the database ({type(error).__name__}), and this machine has no index "
                "of them: see that the database answers, and start again"
            ) from error
        self._note_problem(error)
        self._base = _Base(index.partition, index.origin)
        return Snapshot(index.origin.version, index.banks, index.partition, partition_of([]))

    def _opened_base(self, store: Origin) -> _Base:
        """The base in the file, if that has changed; an empty one if the file belongs to other lists."""
        file = _identity(self._index_file)
        if file is not None and file == self._base.file and _belongs(self._base.origin, store):
            return self._base
        if file is not None and self._index_file is not None:
            try:
                index = open_partition(self._index_file)
            except IndexFileError as error:
                logger.error("the index of the lists is built again: %s", error)
            else:
                if _belongs(index.origin, store):
                    return _Base(index.partition, index.origin, file)
        if self._base.file is None and self._base.origin == Origin(store.lineage, 0):
            return self._base
        return _empty_base(store.lineage)

    def _built_if_large(self, base: _Base, lineage: str) -> _Base:
        """``base``, or one built anew if more than a small delta has changed since it was built."""
        if self._index_file is None:
            return base
        # More than once, if another process has built one of a version before the large change.
        for _ in range(_MOST_BUILDS):
            if base.file is not None and self.store.changes_count_since(base.origin.version) <= _MAX_DELTA:
                break
            try:
                self._rebuild(self._index_file, lineage, wait=True)
            except OSError as error:
                logger.error("the index of the lists was not built, so that they take memory: %s", error)
                break
            self._rebuilt_at_s = time.monotonic()
            # The file may be newer than what was known of the store before.
            base = self._opened_base(self.store.origin())
        return base

    def _compare_recent(self, lists: Snapshot) -> None:
        """Compare recent pictures with the entries that are newer than the lists that their decisions asked.

        A decision that was under way at a refresh ends after it: its picture is compared at the next one.
        """
        behind = self._recent.behind(lists.version)
        if not behind:
            return
        before = min(each.compared_version for each in behind)
        added = lists
        if self.store.changes_count_since(before) <= _MAX_DELTA:
            changes = self.store.changes_since(before)
            added = Snapshot(changes.version, changes.banks, partition_of([]), partition_of(changes.entries))
        for late in denied(behind, added, lists, self._wall_clock()):
            self._late_matches.append(late)
            logger.error(
                "request %s: the picture was let through, and entry %d, added meanwhile, denies it",
                late.picture.request_id,
                late.match.entry.id,
            )
        for each in behind:
            each.compared_version = lists.version

    def _suspend(self) -> None:
        while self._to_suspend:
            entry = self._to_suspend[0].entry
            if self.store.suspend([entry.id]):
                logger.error(
                    "entry %d of the bank %s suddenly matches far more pictures than before: it is suspended until "
                    "somebody confirms or removes it",
                    entry.id,
                    entry.bank,
                )
            self._to_suspend.popleft()

    def _follow(self) -> None:
        try:
            self.store.erase_unfinished()
        except Exception as error:
            logger.error("what an import has left cannot be erased now (%s)", type(error).__name__)
        while not self._is_closed.wait(POLL_S):
            try:
                self.refresh()
            except Exception as error:
                self._note_problem(error)
            else:
                self._problem = None
            self._keep_house()

    def _keep_house(self) -> None:
        """Have the store forget what is over, a little at a time: changes are followed meanwhile."""
        if time.monotonic() - self._house_kept_at_s < _HOUSE_KEPT_EVERY_S:
            return
        try:
            if self.store.forget_removals(self._wall_clock()):
                return
        except Exception as error:
            logger.error("the lists could not forget old removals (%s)", type(error).__name__)
        self._house_kept_at_s = time.monotonic()

    def _note_problem(self, error: Exception) -> None:
        if self._problem is None:
            logger.error("the lists cannot be read (%s): the latest known ones go on", type(error).__name__)
        self._problem = "cannot be read, and may be outdated"

    def _rebuild_if_due(self, lineage: str) -> None:
        is_due = self._delta and time.monotonic() - self._rebuilt_at_s > _REBUILT_EVERY_S
        if self._index_file is None or not is_due or (self._rebuilding and self._rebuilding.is_alive()):
            return
        self._rebuilt_at_s = time.monotonic()
        self._rebuilding = threading.Thread(
            target=self._rebuild_in_thread, args=(self._index_file, lineage), name="lists-index", daemon=True
        )
        self._rebuilding.start()

    def _rebuild_in_thread(self, index_file: Path, lineage: str) -> None:
        try:
            self._rebuild(index_file, lineage, wait=False)
        except Exception as error:
            logger.error("the index of the lists was not built: %s", type(error).__name__)

    def _rebuild(self, index_file: Path, lineage: str, *, wait: bool) -> None:
        """Build the file anew, unless another process is about to, or has done so while this one waited."""
        before = _identity(index_file)
        lock = os.open(index_file.with_name(index_file.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _identity(index_file) != before:
                return
            remove_unfinished(index_file)
            builder = PartitionBuilder()
            with self.store.everything() as stored:
                for each in stored.entries:
                    builder.add(each)
            write_partition(builder, Origin(lineage, stored.version), stored.banks.values(), index_file)
        except BlockingIOError:
            pass
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


def _empty_base(lineage: str) -> _Base:
    return _Base(partition_of([]), Origin(lineage, 0))
