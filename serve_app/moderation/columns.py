"""Scores of the same bytes for the labels of several sources, in one examination.

A ledger has one examination of each body and model. Sources with different labels that get the same picture in turn
would otherwise replace each other's, and have it scanned each time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from serve_app.domain import Examination, LabelScores, Recollection


def with_recalled_columns(
    seen: Examination, labels: tuple[str, ...], recalled: Recollection | None, wanted: Collection[str]
) -> tuple[Examination, tuple[str, ...]]:
    """``seen``, whose columns are ``labels``, and behind them the recalled columns of other ``wanted`` labels.

    Labels that nobody wants any more are left out, so that the columns stay few. Nothing is added where not the same
    views were scored by the same model, and by the same worker: a decision names the one whose scores were judged.
    """
    if recalled is None or recalled.examination.places != seen.places:
        return seen, labels
    earlier = recalled.examination.scores
    if _origin(earlier) != _origin(seen.scores):
        return seen, labels
    others = tuple(label for label in recalled.labels if label in wanted and label not in labels)
    picked = earlier.picked(recalled.labels, others) if others else None
    if picked is None:
        return seen, labels
    scores = replace(seen.scores, values=np.hstack((seen.scores.values, picked.values)))
    return replace(seen, scores=scores), (*labels, *others)


def _origin(scores: LabelScores) -> tuple[str, float, str | None]:
    return scores.model.digest, scores.logit_scale, scores.worker
