"""Where entries and banks are stored: the port, which a database and a process's memory implement."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from serve_app.domain.lists import Bank, EntryDraft, Fingerprint, ListEntry, ListKind
from serve_app.lists.partition_file import Origin

IMPORT_UNDER_WAY: Final = "another import is under way: wait until it has ended, and try again"


@dataclass(frozen=True, slots=True)
class Addition:
    """What became of drafts.

    ``changed`` entries were added, or had another reason, source, quality or expiry before; ``known`` ones were there
    already. ``first_ids`` has the ids of the first hundred that changed.
    """

    version: int
    changed: int
    known: int
    first_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between an earlier version and ``version``. ``banks`` has all banks, by their names.

    Unless it ``is_complete``, the earlier version is so old that ``removed`` lacks some: read everything instead.
    """

    version: int
    banks: Mapping[str, Bank]
    entries: Sequence[ListEntry]
    removed: frozenset[int]
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Everything:
    """All of one version. ``entries`` come one by one, however many there are."""

    version: int
    banks: Mapping[str, Bank]
    entries: Iterator[ListEntry]


class ListStore(Protocol):
    """The entries of all lists, their banks, and a version that grows with each change.

    For threads that may wait for a database: never call it on an event loop.
    """

    def origin(self) -> Origin:
        """The current version, and the name of this store, which is random and never changes."""
        ...

    def banks(self) -> Mapping[str, Bank]:
        """All banks, by their names."""
        ...

    def put_bank(self, bank: Bank) -> None:
        """Make a bank, or change its rights."""
        ...

    def remove_bank(self, name: str) -> int:
        """Remove a bank and its entries, some at a time, and say how many there were."""
        ...

    def add(self, drafts: Iterable[EntryDraft]) -> Addition:
        """Add a few entries, all or none. A bank that is not there is made, with the usual rights.

        There is one entry for a fingerprint, kind and bank: a second one changes the first, and leaves it suspended or
        confirmed. If the second one is confirmed, so is the first from then on, and no longer suspended.

        A second one never weakens what denies: of two expiries, the later one holds, and none is the latest. Nor does a
        quality that matches nothing replace one that matches.
        """
        ...

    def import_all(self, read: Callable[[], Iterable[EntryDraft]]) -> Addition:
        """Add any number of entries, as :meth:`add` does, while others change the lists and record decisions.

        ``read`` returns the same entries each time, and is called up to twice. Nothing is added if it raises, and the
        entries that are new appear all at once; those that are known are changed some at a time after it.

        Raises:
            ListingError: another import is under way, in whichever process.
        """
        ...

    def erase_unfinished(self) -> None:
        """Erase what an import has left whose process was killed. Nobody sees it; it only takes room."""
        ...

    def remove(self, ids: Iterable[int]) -> int:
        """Remove entries, and say how many of them there were."""
        ...

    def suspend(self, ids: Iterable[int]) -> int:
        """Suspend entries that no person has confirmed, and say how many that changed.

        The service does it by itself: in a database, the audit has an entry for each.
        """
        ...

    def confirm(self, ids: Iterable[int]) -> int:
        """A person says that entries are right: they match again, and are not suspended any more."""
        ...

    def entry(self, entry_id: int) -> ListEntry | None:
        """The entry with this id."""
        ...

    def find(self, fingerprint: Fingerprint) -> Sequence[ListEntry]:
        """The entries with exactly this type and digest, oldest first."""
        ...

    def page(
        self,
        bank: str | None = None,
        after: int = 0,
        limit: int = 1000,
        *,
        kind: ListKind | None = None,
        is_suspended: bool | None = None,
    ) -> Sequence[ListEntry]:
        """At most ``limit`` entries with ids above ``after``, in the order of their ids."""
        ...

    def suspended_count(self) -> int:
        """How many entries are suspended."""
        ...

    def counts(self) -> Mapping[str, int]:
        """How many entries each bank has, by its name."""
        ...

    def changes_since(self, version: int) -> Changes:
        """What has changed since ``version``; 0 stands for the beginning."""
        ...

    def changes_count_since(self, version: int) -> int:
        """How many entries :meth:`changes_since` would name, before anybody has them all in memory."""
        ...

    def forget_removals(self, now: datetime) -> int:
        """Forget some of the removals that are older than :data:`serve_app.lists.removals.KNOWN_FOR`, and say how many.

        Call it again at once until there are none, and every few hours: it notes how old removals are, too.
        """
        ...

    def everything(self) -> contextlib.AbstractContextManager[Everything]:
        """All of the current version."""
        ...

    def close(self) -> None:
        """Let go of the database. Nobody may use this store any more."""
        ...
