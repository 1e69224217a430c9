"""Pictures that pict-rs has stored, as admins name them: found, decided about, put on a list, and banned."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from serve_app.administration.list_additions import Lister, Listing
from serve_app.domain import (
    ADMIN_SOURCE,
    Body,
    Call,
    Deadline,
    Decision,
    DecisionArchive,
    Lane,
    PictureGoneError,
    RecordedDecision,
    UnavailableError,
    Unscanned,
    UnscannedReason,
)
from serve_app.lists.of_decisions import ListingTerms, Selection
from serve_app.pictrs import PictrsClient, Purger, Reference, StoredPicture, may_store, open_pictrs
from serve_app.settings import Settings

Moderate = Callable[[Body, Call, str | None], Awaitable[Decision]]
"""Decides about a body, as about one of the source that is named; None: by the terms of the service."""

_PENDING_AT_ONCE = 1000

_PASSING = (UnscannedReason.DEADLINE, UnscannedReason.OVERLOADED, UnscannedReason.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Ban:
    """What a ban does, or has done.

    ``listing`` is None as long as nothing was done. ``purged`` has the aliases that led to the picture;
    ``is_over_quota`` if it is denied, and may not be purged today.
    """

    picture: StoredPicture
    selection: Selection
    notes: tuple[str, ...]
    listing: Listing | None = None
    purged: tuple[str, ...] = ()
    is_over_quota: bool = False


class StoredPictures:
    """The pictures of the configured pict-rs. Its key stays in this process."""

    def __init__(
        self,
        settings: Settings,
        archive: DecisionArchive,
        lister: Lister,
        moderate: Moderate,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """``moderate`` decides about a body, as about an upload, and records the decision."""
        self._settings = settings
        self._archive = archive
        self._lister = lister
        self._moderate = moderate
        self._environment = environment
        # A body that an admin asks for is reserved nowhere: so that it is at most one.
        self._one_body = asyncio.Lock()

    async def find(self, reference: Reference) -> StoredPicture:
        """The picture that a reference leads to; no other address than the configured pict-rs is asked.

        Raises:
            PictureGoneError: it leads to nothing.
            PictrsError: pict-rs cannot be asked.
            SettingsError: none is configured.
        """
        async with open_pictrs(self._settings.pictrs, self._environment) as pictrs:
            return await pictrs.picture(reference)

    async def find_bytes(self, sha256: str, length_bytes: int) -> StoredPicture:
        """The picture with these bytes. Raises as :meth:`find`."""
        async with open_pictrs(self._settings.pictrs, self._environment) as pictrs:
            found = await pictrs.find(sha256, length_bytes)
        if found is None:
            raise PictureGoneError("pict-rs has no picture with these bytes")
        return found

    async def decision_on_beginning(self, reference: Reference) -> RecordedDecision:
        """The newest pending decision on the first part of a stored picture, which is all that pict-rs sent of it.

        Once its picture was scanned, there is a decision on all of its bytes.

        Raises:
            PictureGoneError: there is none; or see :meth:`find`.
            PictrsError: see :meth:`find`.
            SettingsError: see :meth:`find`.
        """
        async with open_pictrs(self._settings.pictrs, self._environment) as pictrs:
            picture = await pictrs.picture(reference)
            pending = await self._pending_shorter_than(picture.hash.length_bytes)
            lengths = {length_bytes for length_bytes, _ in pending}
            beginnings = await pictrs.sha256s_of_first(picture, lengths) if lengths else {}
        found = [await self._archive.get(pending[each]) for each in pending.keys() & beginnings.items()]
        newest = max(filter(None, found), key=lambda each: each.decision.decided_at, default=None)
        if newest is None:
            raise PictureGoneError("no decision is recorded on this picture, nor a pending one on its first part")
        return newest

    async def _pending_shorter_than(self, length_bytes: int) -> Mapping[tuple[int, str], str]:
        """The newest pending decision, by its id, on each body that is shorter: its length and its sha256."""
        found: dict[tuple[int, str], str] = {}
        cursor = None
        while True:
            page = await self._archive.pending(_PENDING_AT_ONCE, cursor)
            found |= {
                (each.decision.body_bytes, each.decision.sha256): each.decision.request_id
                for each in page.records
                if 0 < each.decision.body_bytes < length_bytes
            }
            cursor = page.cursor
            if cursor is None:
                return found

    async def add(self, reference: Reference, terms: ListingTerms) -> Listing:
        """Put a stored picture on a list, by what the service sees of it now.

        Raises:
            ListingError: see :class:`~serve_app.administration.list_additions.Lister`.
            UnavailableError: the picture cannot be scanned now, or the lists not be written.
            TooLargeError: it is larger than the service takes.
            PictrsError: see :meth:`find`.
            SettingsError: see :meth:`find`.
        """
        async with open_pictrs(self._settings.pictrs, self._environment) as pictrs:
            decision = await self._decide(pictrs, await pictrs.picture(reference))
        return await self._lister.add_decision(RecordedDecision.just_made(decision), terms)

    async def ban(self, reference: Reference, terms: ListingTerms, *, is_for_real: bool) -> Ban:
        """Deny a stored picture, then purge it: in this order, since it may be uploaded again while it is purged.

        Unless ``is_for_real`` nothing of this is done, but the scan that shows what would be.

        Raises:
            Exception: as :meth:`add`.
        """
        async with open_pictrs(self._settings.pictrs, self._environment) as pictrs:
            picture = await pictrs.picture(reference)
            decision = await self._decide(pictrs, picture)
            selection = await self._lister.select(RecordedDecision.just_made(decision), terms)
            if not is_for_real:
                return Ban(picture, selection, await self._lister.check(selection, terms))
            listing = await self._lister.add(selection, terms)
            most_a_day = self._settings.pictrs.max_purges_per_day
            purged = await Purger(pictrs, self._archive, terms.author, most_a_day, _now).purge(
                picture, f"ban: {terms.reason}"
            )
        if purged is None:
            return Ban(picture, selection, listing.notes, listing, is_over_quota=True)
        is_of_this_pictrs = partial(may_store, self._settings.pictrs_source)
        for request_id in await self._lister.pending_copies(picture.hash.sha256, is_of_this_pictrs):
            await self._archive.mark_done(request_id, "ban: purged")
        return Ban(picture, selection, listing.notes, listing, purged)

    async def _decide(self, pictrs: PictrsClient, picture: StoredPicture) -> Decision:
        async with self._one_body:
            body = await pictrs.original(picture, self._settings.limits.max_body_bytes)
            call = Call(uuid.uuid4().hex, Deadline.after(self._settings.deadline_s), Lane.BACKGROUND, ADMIN_SOURCE)
            hashed = await asyncio.to_thread(Body.of, body)
            decision = await self._moderate(hashed, call, self._settings.pictrs_source)
        match decision.outcome:
            case Unscanned(reason=reason) if reason in _PASSING:
                raise UnavailableError(f"the picture cannot be scanned now ({reason}): try again later")
        return decision


def _now() -> datetime:
    return datetime.now(UTC)
