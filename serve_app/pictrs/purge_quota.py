"""How many pictures may be purged in a day, whatever way they are purged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from serve_app.domain import AuditEntry

PURGE = "purge"
"""The action in the audit, for all ways of purging."""


class Audit(Protocol):
    """Of :class:`~serve_app.domain.DecisionArchive` what is needed here."""

    async def audit_within(self, entry: AuditEntry, most_a_day: int, once_per: str) -> bool:
        """Add an entry, unless the audit has reached the quota of its action today."""
        ...


class AuditedQuota:
    """A quota of purges: each is in the audit before it is done, and counted there, a picture once a day."""

    def __init__(self, audit: Audit, actor: str, most_a_day: int, wall_clock: Callable[[], datetime]) -> None:
        self._audit = audit
        self._actor = actor
        self._most_a_day = most_a_day
        self._wall_clock = wall_clock

    async def take(self, sha256: str, why: str) -> bool:
        """Count the picture with these bytes; False if that would be one too many."""
        entry = AuditEntry(self._wall_clock(), self._actor, PURGE, {"sha256": sha256, "why": why})
        return await self._audit.audit_within(entry, self._most_a_day, once_per="sha256")
