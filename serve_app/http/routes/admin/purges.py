"""What was purged from pict-rs, by whom and why."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from serve_app.admin_api import PurgeRecord, Purges
from serve_app.domain import DecisionArchive
from serve_app.purges import purges_since

LATELY = timedelta(days=30)
"""Before a request that names no moment."""


def router(archive: DecisionArchive) -> APIRouter:
    """A route over the audit, which has an entry for each beginning and each end of a purge."""
    routes = APIRouter(tags=["pictures"])

    @routes.get("/purges", summary="Purges since a moment, by default of the last 30 days, newest first")
    async def purges(since: Annotated[AwareDatetime | None, Query()] = None) -> Purges:
        found = await purges_since(archive, since or datetime.now(UTC) - LATELY)
        return Purges(purges=[PurgeRecord.model_validate(asdict(each)) for each in found])

    return routes
