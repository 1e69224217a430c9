"""What the workers of fedi-safety say, as an examination and a policy: so that it is recorded as such."""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    Examination,
    LabelScores,
    LoadSignals,
    ModelIdentity,
    Preprocessor,
    UnavailableError,
)
from serve_app.policy import Policy, parse_policy
from serve_app.remote.popped import PoppedJobs

_SIZE_PX = 224

MODEL: Final = ModelIdentity(
    "fedi-safety",
    "",
    _SIZE_PX,
    "A worker of fedi-safety decided: it says yes or no, and neither why nor with which model. It knows of no "
    "deadline, and of an animation it sees one frame.",
)
"""Nobody knows the digest of what it has."""

_POLICY = """\
policy: fedi-safety
model: fedi-safety

concepts:
  csam: {score: cosine, prompts: [is_csam]}
  nsfw: {score: cosine, prompts: [is_nsfw]}

rules:
  - name: fedi-safety-csam
    verdict: reject
    message: The picture was refused because a worker of fedi-safety takes it for abuse material.
    when: {concept: csam, above: 0.5}
  - name: fedi-safety-nsfw
    verdict: flag
    message: A worker of fedi-safety takes the picture for sexual content.
    when: {concept: nsfw, above: 0.5}
"""


def fedi_safety_policy() -> Policy:
    """Rejects what a worker calls ``is_csam``, and flags what it calls ``is_nsfw`` alone."""
    return parse_policy(_POLICY, "fedi-safety")


class PoppedExaminer:
    """:class:`serve_app.domain.Examiner` that decodes by itself, and has a worker of fedi-safety look at the file.

    So undecodable bytes are refused, and the lists asked, as for every other picture.
    """

    def __init__(self, jobs: PoppedJobs) -> None:
        """``jobs`` are those that the workers ask for. Nothing is examined before it is :meth:`started`."""
        self._jobs = jobs
        self._preprocessor: Preprocessor | None = None

    def started(self, preprocessor: Preprocessor) -> None:
        """From now on ``preprocessor`` decodes."""
        self._preprocessor = preprocessor

    @property
    def model(self) -> ModelIdentity | None:
        """See the port."""
        return MODEL if self._jobs.is_anybody_there else None

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """See the port."""
        deadline.require("the scorer")
        self._jobs.require_anybody()
        return MODEL

    async def examine(self, body: Body, call: Call) -> Examination:
        """See the port."""
        self._jobs.require_anybody()
        if self._preprocessor is None:
            raise UnavailableError("the service is starting")
        began_s = time.monotonic()
        views = await self._preprocessor.preprocess(body.content, _SIZE_PX, call, LoadSignals())
        preprocessed_s = time.monotonic()
        answer = await self._jobs.submit(body.content, views.media_type, call.deadline)
        row = np.array([answer.is_csam, answer.is_nsfw], np.float32)
        # It is said of the whole picture, and so of each view.
        scores = LabelScores(np.tile(row, (len(views.places), 1)), 1.0, MODEL, answer.worker)
        scored_s = time.monotonic()
        return Examination.of(views, scores, (preprocessed_s - began_s) * 1e3, (scored_s - preprocessed_s) * 1e3)
