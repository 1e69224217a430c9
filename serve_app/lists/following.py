"""What a process has read of the lists: a base, and what has changed since.

A change that is too large for the memory of each process waits for the next base, which has it. Smaller ones that come
meanwhile are read all the same: an entry that a person adds or removes waits for no import.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from serve_app.domain.lists import ListEntry
from serve_app.lists.base import Base, empty_base
from serve_app.lists.partition import partition_of
from serve_app.lists.partition_file import Origin
from serve_app.lists.snapshot import Snapshot
from serve_app.lists.store import Changes, ListStore

MAX_CHANGES: Final = 20_000
"""Changes that are read and sorted within a fraction of a second. If there are more, a base is to be built."""

MAX_HELD: Final = 5 * MAX_CHANGES
"""Changes in memory while a base is being built: further ones wait for it too."""


class Following:
    """Follows ``store`` in steps that take a fraction of a second, however much has changed."""

    def __init__(self, store: ListStore) -> None:
        self._store = store
        self._changes: list[Changes] = []
        self._complete_to = 0
        self._missing_to = 0
        self.base: Base = empty_base("")
        self.read_to = 0
        """The version up to which changes were read, or left to the next base."""

    @property
    def held(self) -> int:
        """Changes in memory."""
        return sum(map(_size, self._changes))

    @property
    def is_complete(self) -> bool:
        """Whether nothing waits for the next base."""
        return self._missing_to <= self.base.origin.version

    @property
    def needs_base(self) -> bool:
        """Whether a base is to be built: there is none, something is missing from it, or much has changed since."""
        return not (self.base.is_built and self.is_complete) or self.held > MAX_CHANGES

    def start_from(self, base: Base) -> None:
        """Begin at ``base``, before anything else was read."""
        self.base, self.read_to, self._complete_to = base, base.origin.version, base.origin.version

    def read(self, base: Base, origin: Origin, shown: Snapshot) -> Snapshot:
        """Read what has changed until ``origin``, the store's, and is not in ``base``.

        The version of a snapshot is the one up to which it has everything; it may have newer changes as well. ``shown``
        is the snapshot before, which is returned as long as there is neither a base nor little enough to read.
        """
        changes, read_to, missing_to = self._changes, self.read_to, self._missing_to
        if base.origin.lineage != self.base.origin.lineage or origin.version < read_to:
            changes, read_to, missing_to = [], 0, 0  # another database, or an older copy of this one
            self._complete_to = 0
        changes = [each for each in changes if each.version > base.origin.version]
        read_to = max(read_to, base.origin.version)
        new = self._store.changes_count_since(read_to)
        if new > MAX_CHANGES or sum(map(_size, changes)) + new > MAX_HELD:
            if not base.is_built:
                self.base, self._changes, self.read_to, self._missing_to = base, [], 0, 0
                return shown
            missing_to = read_to = origin.version
        newest = self._store.changes_since(read_to)
        if not newest.is_complete:  # this base is so old that removals since are forgotten
            self.base, self._changes, self.read_to, self._missing_to = empty_base(origin.lineage), [], 0, 0
            return self.read(self.base, origin, shown)
        changes.append(newest)
        self.base, self._changes, self._missing_to = base, changes, missing_to
        self.read_to = changes[-1].version
        self._complete_to = self.read_to if self.is_complete else max(self._complete_to, base.origin.version)
        entries, gone = _together(changes)
        return Snapshot(self._complete_to, changes[-1].banks, base.partition, partition_of(entries), gone)


def _size(changes: Changes) -> int:
    return len(changes.entries) + len(changes.removed)


def _together(changes: Iterable[Changes]) -> tuple[list[ListEntry], set[int]]:
    """The entries that were added or changed, and the ids of those that a base no longer has as they are."""
    entries: dict[int, ListEntry] = {}
    gone: set[int] = set()
    for each in changes:
        for removed in each.removed:
            entries.pop(removed, None)
        entries |= {entry.id: entry for entry in each.entries}
        gone |= each.removed | {entry.id for entry in each.entries}
    return list(entries.values()), gone
