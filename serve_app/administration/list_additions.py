"""Puts pictures on a list: those of recorded decisions, and fingerprints as they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from serve_app.domain import Decision, DecisionArchive, DecisionFilter, Listed, ListingError, RecordedDecision
from serve_app.domain.canary import CANARY_NOT_ALLOWED
from serve_app.domain.lists import Bank, Fingerprint, FingerprintType, ListEntry, ListKind
from serve_app.lists.asking import in_thread
from serve_app.lists.of_decisions import ListingTerms, Selection, fingerprints_of
from serve_app.lists.store import ListStore

_PENDING_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Listing:
    """Entries that were made, or were there already.

    ``notes`` tell people what they do not cover. ``pending`` are the ids of decisions whose picture has the same bytes,
    and waits to be scanned.
    """

    entries: tuple[ListEntry, ...]
    notes: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


class Lister:
    """Makes entries in ``store``."""

    def __init__(self, archive: DecisionArchive, store: ListStore) -> None:
        self._archive = archive
        self._store = store

    async def add_decision(self, recorded: RecordedDecision, terms: ListingTerms) -> Listing:
        """Put the fingerprints of a decision's picture on a list (:func:`fingerprints_of` says which).

        Raises:
            ListingError: see :meth:`add`; or to allow the picture is not safe.
            UnavailableError: the lists cannot be read or written.
        """
        listing = await self.add(await self.select(recorded, terms), terms)
        return replace(listing, pending=await self.pending_copies(recorded.decision.sha256))

    async def select(self, recorded: RecordedDecision, terms: ListingTerms) -> Selection:
        """The fingerprints of a decision's picture.

        Where a list knew its bytes, nothing was decoded: then those of the policy's latest decision on them.

        Raises:
            ListingError: to allow the picture is not safe.
        """
        decision = recorded.decision
        if isinstance(decision.outcome, Listed) and not recorded.fingerprints:
            judged = DecisionFilter(sha256=decision.sha256, reason="policy")
            for latest in (await self._archive.search(judged, limit=1, with_examinations=True)).records:
                return fingerprints_of(latest, terms.kind)
        return fingerprints_of(recorded, terms.kind)

    async def pending_copies(
        self, sha256: str, is_meant: Callable[[Decision], bool] = lambda decision: True
    ) -> tuple[str, ...]:
        """The ids of the decisions that are meant, whose picture has these bytes and waits to be scanned."""
        wanted, cursor = DecisionFilter(sha256=sha256, is_pending=True), None
        found: list[str] = []
        while True:
            page = await self._archive.search(wanted, _PENDING_AT_ONCE, cursor)
            found += [each.decision.request_id for each in page.records if is_meant(each.decision)]
            cursor = page.cursor
            if cursor is None:
                return tuple(found)

    async def add(self, selection: Selection, terms: ListingTerms) -> Listing:
        """Make an entry of each fingerprint.

        Raises:
            ListingError: to allow, while entries deny exactly these bytes: those go first; or to allow the canary.
            UnavailableError: the lists cannot be read or written.
        """
        if terms.kind is ListKind.ALLOW:
            for each in selection.fingerprints:
                await self._require_no_canary(each)
        return await in_thread(lambda: self._add(selection, terms))

    async def check(self, selection: Selection, terms: ListingTerms) -> tuple[str, ...]:
        """The notes of :meth:`add`; nothing is made.

        Raises:
            ListingError: as there.
            UnavailableError: as there.
        """
        return await in_thread(lambda: self._notes(selection, terms, self._store.banks()))

    async def _require_no_canary(self, fingerprint: Fingerprint) -> None:
        """Raise where the ledger knows these bytes as the canary, which an image server has encoded again."""
        if fingerprint.type is not FingerprintType.SHA256:
            return
        canary = DecisionFilter(sha256=fingerprint.digest.hex(), is_canary=True)
        if (await self._archive.search(canary, limit=1)).records:
            raise ListingError(CANARY_NOT_ALLOWED)

    def _add(self, selection: Selection, terms: ListingTerms) -> Listing:
        try:
            drafts = [terms.draft(each) for each in selection.fingerprints]
        except ValueError as error:
            raise ListingError(str(error)) from error
        notes = self._notes(selection, terms, self._store.banks())
        self._store.add(drafts)
        made = [
            entry
            for fingerprint in selection.fingerprints
            for entry in self._store.find(fingerprint)
            if (entry.kind, entry.bank) == (terms.kind, terms.bank)
        ]
        return Listing(tuple(made), notes)

    def _notes(self, selection: Selection, terms: ListingTerms, banks: Mapping[str, Bank]) -> tuple[str, ...]:
        notes = [selection.note] if selection.note else []
        if terms.bank in banks and banks[terms.bank].is_shadow:
            notes.append(f"the bank {terms.bank} is shadow: its entries match, and decide nothing")
        if not terms.is_confirmed:
            notes += self._suspended(selection.fingerprints, terms)
        if terms.kind is ListKind.ALLOW:
            notes += self._contradictions(selection.fingerprints, banks)
        return tuple(notes)

    def _suspended(self, fingerprints: Sequence[Fingerprint], terms: ListingTerms) -> list[str]:
        same = [each for fingerprint in fingerprints for each in self._store.find(fingerprint)]
        return [
            f"entry {each.id} was there already: it is suspended, and matches nothing until you run pictwarden list "
            f"confirm {each.id}"
            for each in same
            if each.suspended_at is not None and (each.kind, each.bank) == (terms.kind, terms.bank)
        ]

    def _contradictions(self, fingerprints: Sequence[Fingerprint], banks: Mapping[str, Bank]) -> list[str]:
        notes = []
        now = datetime.now(UTC)
        for fingerprint in fingerprints:
            denying = [
                each
                for each in self._store.find(fingerprint)
                if each.kind is ListKind.DENY
                and each.suspended_at is None
                and (each.expires_at is None or each.expires_at > now)
                and not banks[each.bank].is_shadow
            ]
            named = ", ".join(f"{each.id} (bank {each.bank})" for each in denying)
            if denying and fingerprint.type is not FingerprintType.PDQ:
                raise ListingError(
                    f"these bytes stay refused, because deny goes before allow: remove entry {named} first, with "
                    "pictwarden list remove"
                )
            if denying:
                notes.append(f"copies that were encoded again stay refused: entry {named} has the same PDQ")
        return notes
