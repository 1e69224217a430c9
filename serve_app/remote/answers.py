"""Whether an answer can be that of an honest worker, as far as it shows by itself."""

from __future__ import annotations

import math

import numpy as np

from serve_app.domain import Views, needs_faces
from serve_app.remote.messages import Scored


def flaw_of(scored: Scored, views: Views, labels: tuple[str, ...]) -> str | None:
    """What is wrong with the scores of ``views``; None if nothing is.

    A score may be unknown (NaN) where its classifier had nothing to look at: that of faces in any row, and any score
    in the row of a face.
    """
    shape = (len(views.pixels) + len(views.faces.pixels), len(labels))
    if scored.values.shape != shape:
        return f"it answered with {scored.values.shape} scores where {shape} were asked for"
    if not math.isfinite(scored.logit_scale) or scored.logit_scale <= 0:
        return f"it answered with a logit scale of {scored.logit_scale}"
    if np.isinf(scored.values).any():
        return "it answered with an infinite score"
    of_views = [column for column, label in enumerate(labels) if not needs_faces(label)]
    if np.isnan(scored.values[: len(views.pixels), of_views]).any():
        return "it answered with a score that is no number"
    return None
