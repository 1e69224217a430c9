"""All decisions that wait for a scan, newest first: those are the pictures that people are looking at.

Each comes once in a run: it is done, or left for the next run.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from serve_app.domain import DecisionFilter, DecisionPage, UnavailableError
from serve_app.pictrs import STORED_WITHIN
from serve_app.storage.rescan import Finding, Rescanner, Result

MAX_LATER_IN_A_ROW = 16
"""Pictures that the service or pict-rs failed on, and none scanned between: then no further picture mends it."""


class Archive(Protocol):
    """Of :class:`~serve_app.domain.DecisionArchive` what is needed here."""

    async def search(self, wanted: DecisionFilter, limit: int = 100, cursor: str | None = None) -> DecisionPage:
        """The newest decisions that are wanted."""
        ...

    async def mark_done(self, request_id: str, how: str) -> bool:
        """The picture of a pending decision was dealt with."""
        ...


async def rescan_pending(
    archive: Archive, rescanner: Rescanner, now: datetime, is_due: Callable[[str], bool] = lambda request_id: True
) -> AsyncGenerator[Finding, None]:
    """Rescan each decision that was pending before ``now``, and say what became of it.

    Ended at any place, it goes on from there the next time: what is done is marked before it is said. Decisions that
    are not due, by their request id, are left out.

    Raises:
        UnavailableError: the service or pict-rs failed on several pictures in a row.
        PictrsRefusedError: the settings have to be changed first.
        UnauthorisedError: nor is the secret right.
    """
    wanted = DecisionFilter(is_pending=True, until=now, is_canary=None)
    cursor, later = None, 0
    while True:
        page = await archive.search(wanted, cursor=cursor)
        for record in page.records:
            if not is_due(record.decision.request_id):
                continue
            finding = await rescanner.rescan(record.decision)
            if finding.result is Result.GONE and record.decision.decided_at > now - STORED_WITHIN:
                # pict-rs stores a picture after it has our answer.
                why = "pict-rs may not have stored it yet"
                finding = replace(finding, result=Result.LATER, why=why, is_of_picture=True)
            if finding.result.is_done:
                await archive.mark_done(record.decision.request_id, f"rescan: {finding.result}")
            yield finding
            if finding.result is not Result.LATER:
                later = 0
            elif not finding.is_of_picture:
                later += 1
            if later == MAX_LATER_IN_A_ROW:
                raise UnavailableError(f"{later} pictures in a row could not be scanned: {finding.why}")
        cursor = page.cursor
        if cursor is None:
            return
