"""The lists of a running process: a snapshot that follows the store, and what decisions tell about entries.

Entries lie in two parts. The *base* is a file, mapped, one for each node: whichever process finds it outdated builds
it, in a thread, and all open the new one. The *delta* is what has changed since, in the memory of each process. So a
change works within :data:`POLL_S` and the time to read it, however large the lists are; a large import, once the next
base has it. The base also lets a process start while the database does not answer.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from serve_app.domain import Clock, in_words
from serve_app.domain.canary import CANARY_BANK
from serve_app.domain.lists import FingerprintType, ListsHealth, Match
from serve_app.lists.base import Bases
from serve_app.lists.flood_guard import FloodGuard
from serve_app.lists.following import MAX_CHANGES, Following
from serve_app.lists.partition import partition_of
from serve_app.lists.recent import DecidedPicture, LateMatch, RecentPictures, denial
from serve_app.lists.snapshot import Snapshot
from serve_app.lists.store import ListStore
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

POLL_S: Final = 0.5

COMPARED_FOR_S: Final = 2.0
"""Seconds that the comparison of recent pictures takes at a time."""

_MOST_BUILDS: Final = 3

_BUILT_AGAIN_S: Final = 5.0
"""Between two attempts, where the first one has failed, or another process builds."""

_BUILT_EVERY_S: Final = 600.0
"""A few changes become part of the base after a while, so that the next start reads little."""

_HOUSE_KEPT_EVERY_S: Final = 3600.0

_CLOSE_S: Final = 2.0
"""For a thread whose database hangs: the process ends all the same."""


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
            clock: for the flood guard, and for their age.
            wall_clock: for the expiry of entries.

        Raises:
            ConfigurationError: neither the store nor an index of it can be read.
        """
        self.store = store
        self._clock = clock
        self._wall_clock = wall_clock
        self._guard = FloodGuard(clock)
        self._guarding = threading.Lock()
        self._to_suspend: deque[Match] = deque()
        self._recent = RecentPictures(clock)
        self._problem: str | None = None
        self._suspended = 0
        self._read_at_s = clock()
        self._bases = Bases(store, index_file)
        self._following = Following(store)
        self._building: threading.Thread | None = None
        self._built_at_s = -math.inf
        self._house_kept_at_s = -math.inf
        self._is_closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, name="lists", daemon=True),
            threading.Thread(target=self._erase_unfinished, name="lists-unfinished", daemon=True),
        ]
        self.snapshot = Snapshot(0, {}, partition_of([]), partition_of([]))
        """The lists as they are now; a decision asks one snapshot, whatever changes meanwhile."""
        try:
            self.complete()
        except Exception as error:
            base, self.snapshot = self._bases.without_store(error)
            self._following.start_from(base)
            self._note_problem(error)

    @property
    def problem(self) -> str | None:
        """What is wrong with the lists, for people; None if nothing is."""
        suspended = f"have {self._suspended} suspended entries, which match nothing" if self._suspended else None
        return " and ".join(filter(None, (self._problem, suspended))) or None

    def health(self) -> ListsHealth:
        """Whether they are those of the store, at once."""
        return ListsHealth(self.snapshot.version, self._clock() - self._read_at_s, self._suspended, self.problem)

    def start(self) -> None:
        """Follow the store, in a thread; another one erases what an import has left, which may take minutes."""
        for each in self._threads:
            each.start()

    def close(self) -> None:
        """Follow the store no longer, and close it."""
        self._is_closed.set()
        for each in self._threads:
            if each.is_alive():
                each.join(_CLOSE_S)
        self.store.close()

    def decided(self, picture: DecidedPicture, decided_by: Match | None) -> None:
        """A picture was decided about, by an entry if ``decided_by`` is not None. It takes microseconds.

        The canary counts for nothing. No flood is counted of an exact entry, which matches one file alone, nor of
        pictures about which the policy decides alike: to suspend the entry would change nothing about them.
        """
        if decided_by is not None and decided_by.entry.bank == CANARY_BANK:
            return
        self.remember(picture)
        suspect = decided_by
        if suspect is not None and (suspect.type is not FingerprintType.PDQ or picture.kept is picture.kept_by_policy):
            suspect = None
        with self._guarding:
            is_flood = self._guard.picture(picture.sha256, suspect.entry.id if suspect else None)
        if is_flood and suspect is not None:
            self._to_suspend.append(suspect)

    def remember(self, picture: DecidedPicture) -> None:
        """Compare a picture that was let through with entries that are newer than its decision."""
        if picture.is_let_through:
            self._recent.add(picture)

    def take_late_matches(self) -> list[LateMatch]:
        """Pictures that were let through moments before an entry that denies them, each once.

        For a thread: it searches the lists for each picture that was decided about before they changed. After
        :data:`COMPARED_FOR_S` it returns what it has found, and goes on at the next call.

        Raises:
            Exception: the store cannot be read; the pictures wait.
        """
        waiting, lists = self._recent.waiting(), self.snapshot
        if not waiting:
            return []
        added = self._added_since(min(each.compared_version for each in waiting), lists)
        found = []
        end_s = self._clock() + COMPARED_FOR_S
        for each in waiting:
            late = denial(each.picture, added, lists, self._wall_clock())
            # One that was found is not compared again, so that each is told once.
            self._recent.compared(each, sys.maxsize if late is not None else lists.version)
            if late is not None:
                found.append(late)
                entry = late.match.entry.id
                text = f"the picture was let through, and entry {entry}, added meanwhile, denies it"
                logger.error("late_match", text, request_id=late.picture.request_id, entry=entry)
            if self._clock() >= end_s:
                break
        return found

    def _added_since(self, version: int, lists: Snapshot) -> Snapshot:
        """The entries that are newer than ``version``; all of them, if these are too many for this process's memory."""
        if self.store.changes_count_since(version) > MAX_CHANGES:
            return lists
        changes = self.store.changes_since(version)
        return Snapshot(changes.version, changes.banks, partition_of([]), partition_of(changes.entries))

    def refresh(self) -> None:
        """Follow the store, and suspend what the guard has found. It waits for no search, and for no base to be built.

        Raises:
            Exception: the store cannot be read or written; the snapshot stays as it is.
        """
        self._read()
        if self._is_base_due() and not (self._building and self._building.is_alive()):
            self._built_at_s = time.monotonic()
            self._building = threading.Thread(target=self._build_in_thread, name="lists-index", daemon=True)
            self._building.start()
        if self._to_suspend:
            # Behind what was read: a database that can only be read is followed all the same.
            self._suspend()
            self._read()

    def complete(self) -> None:
        """Bring the snapshot up to date with all of the store, however long that takes: a start waits for it.

        Raises:
            Exception: as :meth:`refresh`.
        """
        self._read()
        # More than once, if another process has built a base of a version before a large change.
        for _ in range(_MOST_BUILDS):
            if not self._following.needs_base:
                break
            self._bases.build(waits=True)
            self._built_at_s = time.monotonic()
            self._read()

    def _read(self) -> None:
        origin = self.store.origin()
        base = self._bases.newest(self._following.base, origin)
        if base is self._following.base and origin.version == self._following.read_to:
            self._read_at_s = self._clock()
            return
        suspended = self.store.suspended_count()  # before the version is noted as read, since asking may fail
        self.snapshot = self._following.read(base, origin, self.snapshot)
        self._recent.lists_have(self.snapshot.version, is_complete=self._following.is_complete)
        self._suspended = suspended
        self._read_at_s = self._clock()

    def _is_base_due(self) -> bool:
        past_s = time.monotonic() - self._built_at_s
        if self._following.needs_base:
            return past_s > _BUILT_AGAIN_S
        return self._following.held > 0 and past_s > _BUILT_EVERY_S

    def _build_in_thread(self) -> None:
        try:
            self._bases.build(waits=False)
        except Exception as error:
            why = in_words(error)
            logger.error("index_not_built", f"the index of the lists was not built: {why}", why=why)

    def _suspend(self) -> None:
        while self._to_suspend:
            entry = self._to_suspend[0].entry
            if self.store.suspend([entry.id]):
                logger.error(
                    "entry_suspended",
                    f"entry {entry.id} of the bank {entry.bank} suddenly matches far more pictures than before: it is "
                    "suspended until somebody confirms or removes it",
                    entry=entry.id,
                    bank=entry.bank,
                )
            self._to_suspend.popleft()

    def _follow(self) -> None:
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
            why = in_words(error)
            logger.error("removals_not_forgotten", f"the lists could not forget old removals: {why}", why=why)
        self._house_kept_at_s = time.monotonic()

    def _erase_unfinished(self) -> None:
        try:
            self.store.erase_unfinished()
        except Exception as error:
            why = in_words(error)
            logger.error("import_not_erased", f"what an import has left cannot be erased now: {why}", why=why)

    def _note_problem(self, error: Exception) -> None:
        if self._problem is None:
            why = in_words(error)
            logger.error("lists_unreadable", f"the lists cannot be read ({why}): the latest known ones go on", why=why)
        self._problem = "cannot be read, and may be outdated"
