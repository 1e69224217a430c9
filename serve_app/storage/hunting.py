"""Pictures that were accepted before the lists knew them: found by what the ledger has of them, and purged.

No picture is read again: the ledger has the sha256 of every body, and the PDQ of the frames of what was examined.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from serve_app.domain import DecisionArchive, DecisionFilter, PictrsUnavailableError, RecordedDecision, SettingsError
from serve_app.domain.lists import FingerprintType, ListEntry, ListKind, Match
from serve_app.lists.live import LiveLists
from serve_app.lists.partition import partition_of
from serve_app.lists.snapshot import Snapshot
from serve_app.lists.store import ListStore
from serve_app.pictrs import STORED_WITHIN, PictrsClient, Purger
from serve_app.purges import Audit, purges_since
from serve_app.storage.rescan import Result

if TYPE_CHECKING:
    from serve_app.ledger.fingerprint_scan import BodyFingerprints


class Archive(DecisionArchive, Protocol):
    """A ledger in a database: :class:`~serve_app.ledger.sql_archive.SqlArchive`."""

    def all_fingerprints(self) -> Iterator[BodyFingerprints]:
        """Those of all bodies, many at a time. For a thread."""
        ...


def sought_entries(lists: LiveLists, bank: str | None = None, since_version: int = 0) -> Snapshot:
    """The entries that a hunt looks for: those of a bank, or those that are newer than a version. For a thread.

    Raises:
        SettingsError: there is no such bank.
    """
    if bank is None and since_version == 0:
        return lists.snapshot
    if bank is None:
        changes = lists.store.changes_since(since_version)
        return Snapshot(changes.version, changes.banks, partition_of([]), partition_of(changes.entries))
    banks = lists.store.banks()
    if bank not in banks:
        raise SettingsError(f"there is no bank {bank}: `pictwarden list banks` shows them")
    return Snapshot(lists.snapshot.version, banks, partition_of([]), partition_of(_entries_of(lists.store, bank)))


def _entries_of(store: ListStore, bank: str) -> Iterator[ListEntry]:
    after = 0
    while page := store.page(bank, after):
        yield from page
        after = page[-1].id


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture that was accepted, and the entry that denies it now."""

    recorded: RecordedDecision
    match: Match


@dataclass(frozen=True, slots=True)
class Caught:
    """What became of a suspect: the aliases of its picture, and why."""

    suspect: Suspect
    result: Result
    aliases: tuple[str, ...] = ()
    why: str = ""


async def suspects(
    archive: Archive,
    sought: Snapshot,
    lists_of: Callable[[str], Snapshot],
    now: datetime,
    show: Callable[[int], None] = lambda bodies: None,
) -> AsyncIterator[Suspect]:
    """The pictures that were let through, and that an entry of ``sought`` denies today. Of each body one decision.

    Args:
        archive: what was decided.
        sought: the entries that are looked for.
        lists_of: all lists, as they are for a source: an entry that allows a picture protects it here as well.
        now: entries that have expired deny nothing.
        show: is told how many bodies have been compared.
    """
    compared = 0
    parts = archive.all_fingerprints()
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        for body in await asyncio.to_thread(sought.suspects, part.sha256, part.hashes, part.bodies):
            found = await _denied(archive, part.sha256[body].tobytes().hex(), sought, lists_of, now)
            if found is not None:
                yield found
        compared += len(part.sha256)
        show(compared)


async def _denied(
    archive: Archive, sha256: str, sought: Snapshot, lists_of: Callable[[str], Snapshot], now: datetime
) -> Suspect | None:
    async for recorded in _decisions_on(archive, sha256):
        if not (recorded.decision.kept and recorded.decision.is_of_image_server):
            continue
        is_sought = await asyncio.to_thread(_denial, sought, recorded, now)
        match = await asyncio.to_thread(_denial, lists_of(recorded.decision.source), recorded, now)
        if is_sought and match:
            return Suspect(recorded, match)
    return None


async def _decisions_on(archive: Archive, sha256: str) -> AsyncIterator[RecordedDecision]:
    """All of them, newest first: a picture that is refused a thousand times a day may have been accepted before."""
    cursor = None
    while True:
        page = await archive.search(DecisionFilter(sha256=sha256), cursor=cursor, with_examinations=True)
        for recorded in page.records:
            yield recorded
        cursor = page.cursor
        if cursor is None:
            return


def _denial(lists: Snapshot, recorded: RecordedDecision, now: datetime) -> Match | None:
    """The entry that denies the picture, as a decision would find it."""
    exact = lists.exact({FingerprintType.SHA256: bytes.fromhex(recorded.decision.sha256)}, now).deciding
    match = exact or lists.nearest(recorded.fingerprints, now).deciding
    return match if match is not None and match.entry.kind is ListKind.DENY else None


async def catch(suspect: Suspect, pictrs: PictrsClient, audit: Audit, purger: Purger | None, now: datetime) -> Caught:
    """Find the picture in pict-rs, and purge it with all aliases. Without ``purger`` it stays.

    Args:
        suspect: whose picture.
        pictrs: where it may be.
        audit: knows what was purged.
        purger: of that pict-rs.
        now: pict-rs may not have stored yet what was decided a moment ago.

    Raises:
        PictrsRefusedError: the settings have to be changed first.
    """
    decision, entry = suspect.recorded.decision, suspect.match.entry
    try:
        picture = await pictrs.find(decision.sha256, decision.body_bytes)
        if picture is None:
            return await _missing(suspect, audit, now)
        if purger is None:
            return Caught(suspect, Result.REJECTED, picture.aliases)
        if await purger.purge(picture, f"hunt: entry {entry.id} in bank {entry.bank}") is None:
            return Caught(suspect, Result.REJECTED, picture.aliases, "not purged: today's quota of purges is used up")
    except PictrsUnavailableError as error:
        return Caught(suspect, Result.LATER, why=str(error))
    return Caught(suspect, Result.PURGED, picture.aliases)


async def _missing(suspect: Suspect, audit: Audit, now: datetime) -> Caught:
    decision = suspect.recorded.decision
    for purge in await purges_since(audit, decision.decided_at):
        if purge.sha256 == decision.sha256 and purge.purged:
            return Caught(suspect, Result.GONE, why=f"it was purged ({purge.why})")
    if decision.decided_at > now - STORED_WITHIN:
        # pict-rs stores a picture after it has our answer.
        return Caught(suspect, Result.LATER, why="pict-rs may not have stored it yet")
    return Caught(suspect, Result.GONE, why="pict-rs does not have it")
