"""Purges: each is in the audit before it is done, where the quota of the day counts it, and again when it is over."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from serve_app.domain import AuditEntry, PictwardenError, in_words
from serve_app.domain.storable_text import printable
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

PURGE = "purge"
"""The action in the audit of a purge that begins, whatever way it is asked for."""

PURGED = "purged"
"""The action of a purge that is over, or has failed."""


class Audit(Protocol):
    """Of :class:`~serve_app.domain.DecisionArchive` what is needed here."""

    async def audit(self, entry: AuditEntry) -> None:
        """Add an entry."""
        ...

    async def audit_within(self, entry: AuditEntry, most_a_day: int, once_per: str) -> bool:
        """Add an entry, unless the audit has reached the quota of its action today."""
        ...

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        """The entries of an action, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Doomed:
    """Stored bytes that are to be purged: their sha256, how many they are, and the names that lead to them.

    ``store`` says where they are; None: in pict-rs, whose names are its aliases.
    """

    sha256: str
    body_bytes: int
    names: tuple[str, ...]
    store: str | None = None


class QuotaOfPurges:
    """The one quota of the day, for purges of whatever store; the same bytes count once a day."""

    def __init__(self, audit: Audit, actor: str, most_a_day: int, wall_clock: Callable[[], datetime]) -> None:
        """``actor`` is who wants the purges, for the audit."""
        self._audit = audit
        self._actor = actor
        self._most_a_day = most_a_day
        self._wall_clock = wall_clock

    async def purge(
        self, doomed: Doomed, why: str, remove: Callable[[], Awaitable[tuple[str, ...]]]
    ) -> tuple[str, ...] | None:
        """Have ``remove`` purge them; the names that it removed, or None where the quota of today is used up.

        Raises:
            PictwardenError: what ``remove`` raised.
        """
        name = {"purge": uuid.uuid4().hex, "sha256": doomed.sha256}
        of_picture: dict[str, str | int] = {
            "body_bytes": doomed.body_bytes,
            "aliases": _written(doomed.names),
            "why": why,
            **({} if doomed.store is None else {"store": doomed.store}),
        }
        entry = AuditEntry(self._wall_clock(), self._actor, PURGE, of_picture | name)
        if not await self._audit.audit_within(entry, self._most_a_day, once_per="sha256"):
            return None
        try:
            removed = await remove()
        except PictwardenError as error:
            await self._end({**name, "problem": in_words(error)})
            raise
        await self._end({**name, "aliases": _written(removed)})
        return removed

    async def _end(self, detail: dict[str, str]) -> None:
        """Record the end. Where that fails the purge is over all the same, and nobody undoes it."""
        try:
            await self._audit.audit(AuditEntry(self._wall_clock(), self._actor, PURGED, detail))
        except Exception:
            sha256 = detail["sha256"]
            text = f"the end of the purge of {sha256} could not be recorded in the audit"
            logger.exception("purge_end_unrecorded", text, sha256=sha256)


@dataclass(frozen=True, slots=True)
class Purge:
    """A purge, as the audit has it.

    ``aliases`` led to the picture when it began, ``purged`` did so and do no more. ``store`` is where it was; None for
    pict-rs. ``ended_at`` is None where nothing says that it is over: it goes on, or the program ended meanwhile.
    ``problem`` says why it failed.
    """

    id: str
    begun_at: datetime
    actor: str
    why: str
    sha256: str
    body_bytes: int | None = None
    aliases: tuple[str, ...] = ()
    store: str | None = None
    ended_at: datetime | None = None
    purged: tuple[str, ...] = ()
    problem: str | None = None


async def purges_since(audit: Audit, since: datetime) -> list[Purge]:
    """The purges that began since then, newest first."""
    found = {purge.id: purge for purge in map(_begun, await audit.audited(PURGE, since))}
    for entry in await audit.audited(PURGED, since):
        begun = found.get(str(entry.detail.get("purge")))
        if begun is not None:
            problem = entry.detail.get("problem")
            found[begun.id] = replace(
                begun,
                ended_at=entry.at,
                purged=_names(entry.detail.get("aliases")),
                problem=None if problem is None else str(problem),
            )
    return list(reversed(found.values()))


def _begun(entry: AuditEntry) -> Purge:
    detail = entry.detail
    sha256, body_bytes = str(detail.get("sha256", "")), detail.get("body_bytes")
    return Purge(
        id=str(detail.get("purge") or f"{entry.at.isoformat()} {sha256}"),
        begun_at=entry.at,
        actor=entry.actor,
        why=str(detail.get("why", "")),
        sha256=sha256,
        body_bytes=body_bytes if isinstance(body_bytes, int) else None,
        aliases=_names(detail.get("aliases")),
        store=None if "store" not in detail else str(detail["store"]),
    )


def _written(names: Sequence[str]) -> str:
    # A file's name need not be text, and whoever reads the audit has a terminal.
    return json.dumps([printable(each) for each in names])


def _names(written: str | int | None) -> tuple[str, ...]:
    return tuple(json.loads(written)) if isinstance(written, str) else ()
