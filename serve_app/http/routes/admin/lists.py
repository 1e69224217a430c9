"""Lists of known pictures: their banks, and their entries one by one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request

from serve_app.admin_api import (
    ALLOWED_BANK,
    DENIED_BANK,
    BankName,
    BankRecord,
    BankRights,
    Banks,
    DecisionListing,
    Entries,
    EntryQuery,
    EntryRecord,
    FingerprintListing,
    ListingAnswer,
    OwnBankName,
)
from serve_app.administration.list_additions import Lister, Listing
from serve_app.domain import AuditEntry, DecisionArchive, ListingError
from serve_app.domain.lists import Bank, Fingerprint, ListEntry, ListKind
from serve_app.lists.asking import in_thread
from serve_app.lists.of_decisions import ListingTerms, Selection
from serve_app.lists.store import ListStore

BankInPath = Annotated[BankName, Path()]
EntryInPath = Annotated[int, Path(ge=1, alias="entry")]

_DEFAULT_BANKS = {ListKind.ALLOW: ALLOWED_BANK, ListKind.DENY: DENIED_BANK}


def router(store: ListStore, lister: Lister, archive: DecisionArchive) -> APIRouter:
    """Routes over the list store; ``archive`` has the audit, and the decisions whose pictures are listed."""
    routes = APIRouter(tags=["lists"])

    @routes.get("/lists/banks", summary="All banks")
    async def banks() -> Banks:
        def read() -> Banks:
            counts = store.counts()
            known = [_bank_record(each, counts) for _, each in sorted(store.banks().items())]
            return Banks(banks=known, version=store.origin().version)

        return await in_thread(read)

    @routes.put("/lists/banks/{bank}", summary="Make a bank, or change its rights")
    async def put_bank(bank: Annotated[OwnBankName, Path()], rights: BankRights) -> BankRecord:
        def put() -> BankRecord:
            known = store.banks().get(bank)
            if rights.exportable and known is not None and not known.is_exportable:
                raise ListingError(f"the bank {bank} is not exportable, and stays so: remove it, and import it anew")
            changed = Bank(bank, rights.shadow, rights.exportable)
            store.put_bank(changed)
            return _bank_record(changed, store.counts())

        return await in_thread(put)

    @routes.delete("/lists/banks/{bank}", summary="Remove a bank and all of its entries")
    async def remove_bank(bank: BankInPath) -> BankRecord:
        def remove() -> BankRecord | None:
            known = store.banks().get(bank)
            return None if known is None else _bank_record(known, {bank: store.remove_bank(bank)})

        removed = await in_thread(remove)
        if removed is None:
            raise HTTPException(404, f"there is no bank {bank}")
        return removed

    @routes.get("/lists/entries", summary="Entries, oldest first")
    async def entries(query: Annotated[EntryQuery, Query()]) -> Entries:
        def read() -> Entries:
            page = store.page(query.bank, query.after, query.limit + 1, kind=query.kind, is_suspended=query.suspended)
            shown, known = page[: query.limit], store.banks()
            after = shown[-1].id if len(page) > len(shown) else None
            return Entries(entries=[entry_record(each, known) for each in shown], after=after)

        return await in_thread(read)

    @routes.post("/lists/entries", summary="Put fingerprints on a list")
    async def add(wanted: FingerprintListing, request: Request) -> ListingAnswer:
        try:
            given = tuple(
                Fingerprint(each.type, bytes.fromhex(each.hash), each.quality) for each in wanted.fingerprints
            )
            terms = terms_of(wanted, wanted.kind, request, wanted.source)
            for each in given:
                each.require_match()
                terms.draft(each)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return await listing_answer(store, await lister.add(Selection(given), terms))

    @routes.delete("/lists/entries/{entry}", summary="Remove an entry")
    async def remove(entry: EntryInPath, request: Request) -> EntryRecord:
        found = await _entry(store, entry)
        await archive.audit(
            AuditEntry(
                datetime.now(UTC),
                request.state.actor,
                "list remove",
                {"entry": entry, "bank": found.bank, "kind": found.kind, "reason": found.reason},
            )
        )
        await in_thread(lambda: store.remove([entry]))
        return await _told(store, found)

    @routes.post("/lists/entries/{entry}/confirm", summary="Say that an entry is right: it is never suspended again")
    async def confirm(entry: EntryInPath) -> EntryRecord:
        await _entry(store, entry)
        await in_thread(lambda: store.confirm([entry]))
        return await _told(store, await _entry(store, entry))

    async def list_decision(
        request_id: str, wanted: DecisionListing, kind: ListKind, request: Request
    ) -> ListingAnswer:
        recorded = await archive.get(request_id)
        if recorded is None:
            raise HTTPException(404, f"no decision {request_id} is recorded: it never was, or its retention is over")
        terms = terms_of(wanted, kind, request, f"decision {request_id}")
        return await listing_answer(store, await lister.add_decision(recorded, terms))

    @routes.post("/decisions/{request_id}/allow", summary="Let the picture of a decision pass from now on")
    async def allow(request_id: str, wanted: DecisionListing, request: Request) -> ListingAnswer:
        return await list_decision(request_id, wanted, ListKind.ALLOW, request)

    @routes.post("/decisions/{request_id}/deny", summary="Refuse the picture of a decision from now on")
    async def deny(request_id: str, wanted: DecisionListing, request: Request) -> ListingAnswer:
        return await list_decision(request_id, wanted, ListKind.DENY, request)

    return routes


def terms_of(wanted: DecisionListing, kind: ListKind, request: Request, source: str) -> ListingTerms:
    """What a person says about entries; the author is the name of the secret."""
    return ListingTerms(
        kind=kind,
        bank=wanted.bank or _DEFAULT_BANKS[kind],
        reason=wanted.reason,
        author=request.state.actor,
        source=source,
        expires_at=wanted.expires_at,
    )


async def listing_answer(store: ListStore, listing: Listing) -> ListingAnswer:
    """What was put on a list, as the API tells it."""
    known = await in_thread(store.banks)
    return ListingAnswer(
        entries=[entry_record(each, known) for each in listing.entries],
        notes=list(listing.notes),
        pending=list(listing.pending),
    )


def entry_record(entry: ListEntry, banks: Mapping[str, Bank]) -> EntryRecord:
    """One entry as the API tells it: without its hash, unless its bank is known to be exportable."""
    is_shown = entry.bank in banks and banks[entry.bank].is_exportable
    return EntryRecord(
        id=entry.id,
        kind=entry.kind,
        type=entry.fingerprint.type,
        hash=entry.fingerprint.digest.hex() if is_shown else None,
        quality=entry.fingerprint.quality,
        bank=entry.bank,
        reason=entry.reason,
        source=entry.source,
        author=entry.author,
        added_at=entry.added_at,
        expires_at=entry.expires_at,
        suspended_at=entry.suspended_at,
        confirmed=entry.is_confirmed,
    )


async def _entry(store: ListStore, entry_id: int) -> ListEntry:
    found = await in_thread(lambda: store.entry(entry_id))
    if found is None:
        raise HTTPException(404, f"there is no entry {entry_id}")
    return found


async def _told(store: ListStore, entry: ListEntry) -> EntryRecord:
    return entry_record(entry, await in_thread(store.banks))


def _bank_record(bank: Bank, counts: Mapping[str, int]) -> BankRecord:
    return BankRecord(
        name=bank.name, shadow=bank.is_shadow, exportable=bank.is_exportable, entries=counts.get(bank.name, 0)
    )
