"""Recorded scores of decisions, to decide these again elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Response

from serve_app.admin_api import DecisionQuery, ScoredDecisions, ScoredRecord, ScoringModel, ViewScores
from serve_app.domain import Decision, DecisionArchive, DecisionPage, ModelIdentity
from serve_app.http.routes.admin.decisions import Limit, Sha256, page_of, page_of_body

Key = TypeVar("Key", bound=Hashable)


def router(archive: DecisionArchive) -> APIRouter:
    """Routes over the recorded decisions."""
    routes = APIRouter(tags=["decisions"])

    @routes.get(
        "/scores",
        summary="The newest decisions that all given filters include, with their label scores",
        response_model=ScoredDecisions,
    )
    async def scores(query: Annotated[DecisionQuery, Query()]) -> Response:
        page = await page_of(archive, query, with_examinations=True)
        return await _told(page)

    @routes.get(
        "/bodies/{sha256}/scores",
        summary="The newest decisions on one body of bytes, with their label scores",
        response_model=ScoredDecisions,
    )
    async def of_body(sha256: Sha256, limit: Limit = 1, cursor: str | None = None) -> Response:
        return await _told(await page_of_body(archive, sha256, limit, cursor, with_examinations=True))

    return routes


async def _told(page: DecisionPage) -> Response:
    # A page has megabytes, and uploads wait for the event loop.
    return Response(await asyncio.to_thread(_written, page), media_type="application/json")


def _written(page: DecisionPage) -> str:
    models: dict[ModelIdentity, int] = {}
    label_sets: dict[tuple[str, ...], int] = {}
    decisions = [_record_of(each.decision, models, label_sets) for each in page.records]
    return ScoredDecisions(
        models=[_model_of(model) for model in models],
        label_sets=[list(labels) for labels in label_sets],
        decisions=decisions,
        cursor=page.cursor,
    ).model_dump_json()


def _model_of(model: ModelIdentity) -> ScoringModel:
    return ScoringModel(
        name=model.name,
        digest=model.digest,
        image_size_px=model.image_size_px,
        derived_from=model.derived_from,
        notice=model.notice,
        parts=[_model_of(part) for part in model.parts],
    )


def _record_of(
    decision: Decision, models: dict[ModelIdentity, int], label_sets: dict[tuple[str, ...], int]
) -> ScoredRecord:
    seen, scores = decision.examination, None
    if seen is not None:
        scores = ViewScores(
            model=_place_in(models, seen.scores.model),
            labels=_place_in(label_sets, decision.labels),
            logit_scale=seen.scores.logit_scale,
            values=seen.scores.values.astype("<f2").tobytes(),
            places=[(each.frame, *each.box) for each in seen.places],
        )
    return ScoredRecord(
        id=decision.request_id,
        decided_at=decision.decided_at,
        sha256=decision.sha256,
        source=decision.source,
        verdict=decision.verdict,
        reason=decision.reason,
        rule=decision.rule,
        worker=decision.worker,
        scores=scores,
    )


def _place_in(known: dict[Key, int], key: Key) -> int:
    return known.setdefault(key, len(known))
