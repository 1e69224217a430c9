"""Who brought a picture, asked of Lemmy for each request."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from serve_app.admin_api import ShownRecord, UploadersAnswer, UploadRecord
from serve_app.administration.uploaders import Uploaders
from serve_app.domain import DecisionArchive


def router(archive: DecisionArchive, uploaders: Uploaders) -> APIRouter:
    """The route over the configured pict-rs and Lemmy."""
    routes = APIRouter(tags=["decisions"])

    @routes.get("/decisions/{request_id}/uploaders", summary="Who uploaded the picture of a decision, and who shows it")
    async def of_decision(request_id: str) -> UploadersAnswer:
        found = await archive.get(request_id)
        if found is None:
            raise HTTPException(404, f"no decision {request_id} is recorded: it never was, or its retention is over")
        known = await uploaders.of(found.decision)
        return UploadersAnswer(
            aliases=list(known.aliases),
            uploads=[
                UploadRecord(
                    alias=each.alias,
                    person=each.person,
                    uploaded_at=each.uploaded_at,
                    thumbnail_of=each.thumbnail_of,
                )
                for each in known.brought.uploads
            ],
            shown=[
                ShownRecord(kind=each.kind, id=each.id, url=each.url, author=each.author)
                for each in known.brought.shown
            ],
            notes=list(known.notes),
        )

    return routes
