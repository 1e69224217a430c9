"""Scored pictures of one policy, made of the scores alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from serve_app.calibration.pictures import ScoredPicture
from serve_app.domain import FrameFingerprint, LabelScores, ModelIdentity
from serve_app.policy import Policy, parse_policy

MODEL = ModelIdentity("open-nsfw", "a" * 64, 224)

MakePicture = Callable[..., ScoredPicture]


@pytest.fixture
def picture() -> MakePicture:
    """A picture whose views have these scores, ``(views, labels)`` or one view of one label."""

    def make(
        name: str, scores: float | list[list[float]] = 0.0, fingerprint: FrameFingerprint | None = None
    ) -> ScoredPicture:
        values = np.array([[scores]] if isinstance(scores, float) else scores, dtype=np.float32)
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        return ScoredPicture(name, sha256, LabelScores(values, 1.0, MODEL), fingerprint)

    return make


@pytest.fixture
def policy() -> Policy:
    """Rejects above 0.8, flags above 0.5."""
    return parse_policy(
        """\
policy: nsfw
concepts:
  sexual: {score: classifier, model: open-nsfw, output: nsfw}
rules:
  - {name: refuse, verdict: reject, when: {concept: sexual, above: 0.8}}
  - {name: doubt, verdict: flag, when: {concept: sexual, above: 0.5}}
""",
        "nsfw.yaml",
    )
