"""The latest entries of the audit, in the memory of one process."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from datetime import datetime

from serve_app.domain import AuditEntry
from serve_app.ledger.cursors import midnight_before


class MemoryAudit:
    """Stores the latest ``most`` entries of each kind: those of requests that only read push nothing else out.

    Entries that a quota counts stay until its day is over, however many others come.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._reads: deque[tuple[int, AuditEntry]] = deque(maxlen=most)
        self._changes: deque[tuple[int, AuditEntry]] = deque(maxlen=most)
        self._counted: deque[tuple[int, AuditEntry]] = deque()
        self._numbers = itertools.count()

    def __iter__(self) -> Iterator[AuditEntry]:
        """Oldest first."""
        return (entry for _, entry in sorted(self._all(), key=lambda each: each[0]))

    def add(self, entry: AuditEntry) -> None:
        """As the latest one."""
        (self._reads if entry.is_read else self._changes).append((next(self._numbers), entry))

    def add_within(self, entry: AuditEntry, most_a_day: int, once_per: str) -> bool:
        """See :meth:`serve_app.domain.DecisionArchive.audit_within`."""
        midnight = midnight_before(entry.at)
        of_today = (each for _, each in self._all() if each.action == entry.action and each.at >= midnight)
        if not entry.fits([each.detail for each in of_today], most_a_day, once_per):
            return False
        self._counted.append((next(self._numbers), entry))
        while len(self._counted) > self._most and self._counted[0][1].at < midnight:
            self._counted.popleft()
        return True

    def forget_reads(self, before: datetime) -> None:
        """Of requests that only read, and came earlier."""
        self._reads = deque((each for each in self._reads if each[1].at >= before), self._most)

    def _all(self) -> Iterator[tuple[int, AuditEntry]]:
        return itertools.chain(self._reads, self._changes, self._counted)
