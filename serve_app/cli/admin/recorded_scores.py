"""Scores of decisions as the admin API tells them, read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from serve_app.admin_api import ScoredDecisions, ScoringModel, ViewScores
from serve_app.domain import LabelScores, ModelIdentity, ViewPlace
from serve_app.policy import ScoredDecision


def scored_decisions(page: ScoredDecisions) -> Iterator[ScoredDecision]:
    """The decisions of a page, in its order; ``scores`` are None where they are not recorded any more."""
    models = [_model_of(each) for each in page.models]
    label_sets = [tuple(each) for each in page.label_sets]
    for record in page.decisions:
        scored = ScoredDecision(
            request_id=record.id,
            decided_at=record.decided_at,
            sha256=record.sha256,
            source=record.source,
            is_judged=record.reason == "policy",
            verdict=record.verdict,
            rule=record.rule,
            scores=None,
        )
        if (seen := record.scores) is not None:
            places = (ViewPlace(frame, (left, top, right, bottom)) for frame, left, top, right, bottom in seen.places)
            scored = replace(
                scored,
                scores=_label_scores(seen, models[seen.model]),
                labels=label_sets[seen.labels],
                places=tuple(places),
            )
        yield scored


def _model_of(told: ScoringModel) -> ModelIdentity:
    return ModelIdentity(
        told.name,
        told.digest,
        told.image_size_px,
        notice=told.notice,
        derived_from=told.derived_from,
        parts=tuple(map(_model_of, told.parts)),
    )


def _label_scores(seen: ViewScores, model: ModelIdentity) -> LabelScores:
    values = np.frombuffer(seen.values, "<f2").reshape(len(seen.places), -1).astype(np.float32)
    return LabelScores(values, seen.logit_scale, model)
