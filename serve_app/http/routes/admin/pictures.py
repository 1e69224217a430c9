"""Pictures that pict-rs has stored, by their alias or the URL under which they are shown."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request

from serve_app.admin_api import (
    BanAnswer,
    BanRequest,
    DecisionRecord,
    ListingAnswer,
    PictureListing,
    StoredPictureRecord,
)
from serve_app.administration.stored_pictures import StoredPictures
from serve_app.domain.lists import ListKind
from serve_app.http.routes.admin.decisions import Sha256, record_of
from serve_app.http.routes.admin.lists import entry_record, listing_answer, terms_of
from serve_app.lists.asking import in_thread
from serve_app.lists.of_decisions import ListingTerms
from serve_app.lists.store import ListStore
from serve_app.pictrs import Reference, StoredPicture, parse_reference


def router(store: ListStore, pictures: StoredPictures) -> APIRouter:
    """Routes over the configured pict-rs."""
    routes = APIRouter(tags=["pictures"])

    @routes.get("/pictures", summary="The picture that an alias, or the URL under which it is shown, leads to")
    async def find(reference: Annotated[str, Query(max_length=4096)]) -> StoredPictureRecord:
        return _record(await pictures.find(_reference(reference)))

    @routes.get("/pictures/decision", summary="The pending decision on a stored picture of which pict-rs sent a part")
    async def decision_on_beginning(reference: Annotated[str, Query(max_length=4096)]) -> DecisionRecord:
        return record_of(await pictures.decision_on_beginning(_reference(reference)))

    @routes.get("/pictures/{sha256}", summary="The stored picture with these bytes")
    async def find_bytes(sha256: Sha256, body_bytes: Annotated[int, Query(ge=1)]) -> StoredPictureRecord:
        return _record(await pictures.find_bytes(sha256, body_bytes))

    @routes.post("/pictures/list", summary="Scan a stored picture, and put it on a list")
    async def add(wanted: PictureListing, request: Request) -> ListingAnswer:
        terms = terms_of(wanted, wanted.kind, request, f"pict-rs {wanted.reference}"[:500])
        return await listing_answer(store, await pictures.add(_reference(wanted.reference), terms))

    @routes.post("/pictures/ban", summary="Deny a stored picture, and purge it; or say what that would do")
    async def ban(wanted: BanRequest, request: Request) -> BanAnswer:
        terms = ListingTerms(
            kind=ListKind.DENY,
            bank=wanted.bank,
            reason=wanted.reason,
            author=request.state.actor,
            source=f"pict-rs {wanted.reference}"[:500],
            expires_at=wanted.expires_at,
            is_confirmed=True,  # banned for ever: nobody can lift a ban with fifty files that look like its picture
        )
        done = await pictures.ban(_reference(wanted.reference), terms, is_for_real=wanted.purge)
        banks = await in_thread(store.banks)
        return BanAnswer(
            picture=_record(done.picture),
            types=[each.type for each in done.selection.fingerprints],
            entries=[entry_record(each, banks) for each in (done.listing.entries if done.listing else ())],
            notes=list(done.notes),
            purged=list(done.purged),
            over_quota=done.is_over_quota,
        )

    return routes


def _reference(text: str) -> Reference:
    try:
        return parse_reference(text)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _record(picture: StoredPicture) -> StoredPictureRecord:
    return StoredPictureRecord(
        sha256=picture.hash.sha256, body_bytes=picture.hash.length_bytes, aliases=list(picture.aliases)
    )
