"""Recorded decisions, and the audit."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response

from serve_app.admin_api import (
    MOST_AT_ONCE,
    AuditRecord,
    AuditTrail,
    DecisionQuery,
    DecisionRecord,
    Decisions,
    LedgerStatus,
    ListMatchRecord,
    ShadowRecord,
)
from serve_app.domain import (
    DecisionArchive,
    DecisionFilter,
    DecisionPage,
    Judged,
    Ledger,
    Listed,
    RecordedDecision,
    Unscanned,
)
from serve_app.wire import DecidingView

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
Limit = Annotated[int, Query(ge=1, le=MOST_AT_ONCE)]


def router(archive: DecisionArchive, ledger: Ledger) -> APIRouter:
    """Routes over the ledger, as an archive and as what records now."""
    routes = APIRouter(tags=["decisions"])

    @routes.get("/decisions", summary="The newest decisions that all given filters include", response_model=Decisions)
    async def search(query: Annotated[DecisionQuery, Query()]) -> Response:
        return await _told(await page_of(archive, query))

    @routes.get("/decisions/{request_id}", summary="One decision")
    async def get(request_id: str) -> DecisionRecord:
        found = await archive.get(request_id)
        if found is None:
            raise HTTPException(404, f"no decision {request_id} is recorded: it never was, or its retention is over")
        return record_of(found)

    @routes.get(
        "/bodies/{sha256}/decisions",
        summary="The newest decisions on one body of bytes",
        response_model=Decisions,
    )
    async def of_body(sha256: Sha256, limit: Limit = 100, cursor: str | None = None) -> Response:
        return await _told(await page_of_body(archive, sha256, limit, cursor))

    @routes.get("/audit", summary="The latest actions of admins, newest first")
    async def audit(limit: Limit = 100) -> AuditTrail:
        entries = await archive.audit_trail(limit)
        return AuditTrail(
            entries=[
                AuditRecord(at=each.at, actor=each.actor, action=each.action, detail=dict(each.detail))
                for each in entries
            ]
        )

    @routes.get("/ledger", summary="Whether decisions are being recorded")
    async def ledger_status() -> LedgerStatus:
        health = ledger.health()
        return LedgerStatus(problem=health.problem, spooled=health.spooled, dropped=health.dropped)

    return routes


async def page_of(archive: DecisionArchive, query: DecisionQuery, *, with_examinations: bool = False) -> DecisionPage:
    """The decisions that an admin wants.

    Raises:
        HTTPException: the cursor is none.
    """
    wanted = DecisionFilter(
        since=query.since,
        until=query.until,
        source=query.source,
        verdict=query.verdict,
        reason=query.reason,
        rule=query.rule,
        is_pending=query.pending,
        shadow_differs=query.shadow_differs,
        is_canary=query.canary,
        done_how=query.done_how,
        worker=query.worker,
    )
    return await _page(archive, wanted, query.limit, query.cursor, with_examinations=with_examinations)


async def page_of_body(
    archive: DecisionArchive, sha256: str, limit: int, cursor: str | None, *, with_examinations: bool = False
) -> DecisionPage:
    """The decisions on one body, also on the canary. Raises as :func:`page_of`."""
    wanted = DecisionFilter(sha256=sha256, is_canary=None)
    return await _page(archive, wanted, limit, cursor, with_examinations=with_examinations)


async def _page(
    archive: DecisionArchive,
    wanted: DecisionFilter,
    limit: int,
    cursor: str | None,
    *,
    with_examinations: bool = False,
) -> DecisionPage:
    """Raises as :func:`page_of`."""
    try:
        return await archive.search(wanted, limit, cursor, with_examinations=with_examinations)
    except ValueError as error:
        raise HTTPException(422, "the cursor is not one of a page of this service") from error


async def _told(page: DecisionPage) -> Response:
    """A page as :class:`Decisions`, made in a thread: the event loop answers uploads meanwhile."""

    def write() -> str:
        return Decisions(decisions=[record_of(each) for each in page.records], cursor=page.cursor).model_dump_json()

    return Response(await asyncio.to_thread(write), media_type="application/json")


def record_of(recorded: RecordedDecision) -> DecisionRecord:
    """One decision as the API tells it; no fingerprint is in it."""
    decision = recorded.decision
    record = DecisionRecord(
        id=decision.request_id,
        decided_at=decision.decided_at,
        sha256=decision.sha256,
        body_bytes=decision.body_bytes,
        verdict=decision.verdict,
        reason=decision.reason,
        rule=decision.rule,
        message="",
        kept=decision.kept,
        pending=recorded.is_pending,
        done_at=recorded.done_at,
        done_how=recorded.done_how,
        source=decision.source,
        lane=decision.lane,
        model=decision.model.name,
        model_digest=decision.model.digest,
        notice=decision.model.notice,
        policy=decision.policy,
        policy_digest=decision.policy_digest,
        lists_version=decision.lists_version,
        elapsed_ms=decision.elapsed_ms,
        worker=decision.worker,
        shadow=ShadowRecord(**asdict(shadow)) if (shadow := decision.shadow_judgement) else None,
        shadow_matches=[_match(each) for each in decision.shadow_matches],
    )
    match decision.outcome:
        case Judged() as judged:
            left, top, right, bottom = judged.place.box
            return record.model_copy(
                update={
                    "message": judged.judgement.message,
                    "media_type": judged.media_type,
                    "scores": dict(judged.judgement.scores),
                    "margin": judged.judgement.margin,
                    "view": DecidingView(frame=judged.place.frame, left=left, top=top, right=right, bottom=bottom),
                    "views_seen": judged.views_seen,
                    "frames_seen": judged.frames_seen,
                    "frames_total": judged.frames_total,
                    "truncated": judged.is_truncated or None,
                }
            )
        case Listed() as listed:
            return record.model_copy(
                update={"message": listed.message, "media_type": listed.media_type, "listed": _match(listed)}
            )
        case Unscanned(detail=detail):
            return record.model_copy(update={"message": detail})


def _match(listed: Listed) -> ListMatchRecord:
    return ListMatchRecord(
        bank=listed.bank,
        entry=listed.entry,
        match=listed.match,
        distance_bits=listed.distance_bits,
        frame=listed.frame,
    )
