"""Pictures that were accepted before the lists knew them: found by what the ledger has of them.

No picture is read again: the ledger has the sha256 of every body, and the PDQ of the frames of what was examined.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from serve_app.domain import Decision, DecisionArchive, FrameFingerprint, SettingsError
from serve_app.domain.lists import FingerprintType, ListEntry, ListKind, Match
from serve_app.lists.live import LiveLists
from serve_app.lists.partition import partition_of
from serve_app.lists.snapshot import Snapshot
from serve_app.lists.store import ListStore
from serve_app.storage.hunt.pace import Pace, in_thread
from serve_app.storage.hunt.suspects import Likeliest, Suspect, decisions_on, fingerprints_of

if TYPE_CHECKING:
    from serve_app.ledger.body_scans import BodyScans


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


async def suspects(
    archive: DecisionArchive,
    bodies: BodyScans,
    sought: Snapshot,
    lists_of: Callable[[str], Snapshot],
    may_store: Callable[[Decision], bool],
    now: datetime,
    pace: Pace,
) -> AsyncGenerator[Suspect, None]:
    """The pictures that were let through, and that an entry of ``sought`` denies today. Of each body one decision.

    That is the newest one on a picture that pict-rs may have: see :class:`~serve_app.storage.hunt.suspects.Likeliest`.

    Args:
        archive: what was decided.
        bodies: of that archive.
        sought: the entries that are looked for.
        lists_of: all lists, as they are for a source: an entry that allows a picture protects it here as well.
        may_store: whether the pict-rs that is asked may have the picture of a decision.
        now: entries that have expired deny nothing.
        pace: is told how many bodies have been compared.
    """
    async with contextlib.aclosing(pace.parts(bodies.all_fingerprints, lambda part: len(part.sha256))) as parts:
        async for part in parts:
            for body in await in_thread(sought.suspects, part.sha256, part.hashes, part.bodies):
                found = await _denied(archive, part.sha256[body].tobytes().hex(), sought, lists_of, may_store, now)
                if found is not None:
                    yield found


async def _denied(
    archive: DecisionArchive,
    sha256: str,
    sought: Snapshot,
    lists_of: Callable[[str], Snapshot],
    may_store: Callable[[Decision], bool],
    now: datetime,
) -> Suspect | None:
    likeliest = Likeliest(may_store)
    fingerprints = await fingerprints_of(archive, sha256)
    if not await in_thread(_denial, sought, sha256, fingerprints, now):
        return None
    async for recorded in decisions_on(archive, sha256):
        if not recorded.decision.kept or likeliest.is_less_likely(recorded.decision):
            continue
        match = await in_thread(_denial, lists_of(recorded.decision.source), sha256, fingerprints, now)
        if match is not None:
            likeliest.take(Suspect(recorded, match, fingerprints))
    return likeliest.suspect


def _denial(lists: Snapshot, sha256: str, fingerprints: Sequence[FrameFingerprint], now: datetime) -> Match | None:
    match = deciding_match(lists, sha256, fingerprints, now)
    return match if match is not None and match.entry.kind is ListKind.DENY else None


def deciding_match(
    lists: Snapshot, sha256: str, fingerprints: Sequence[FrameFingerprint], now: datetime
) -> Match | None:
    """The entry that decides about a picture, as the next decision on it would find it."""
    exact = lists.exact({FingerprintType.SHA256: bytes.fromhex(sha256)}, now).deciding
    return exact or lists.nearest(fingerprints, now).deciding
