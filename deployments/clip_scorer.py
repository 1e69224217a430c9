"""The scorer's deployment: views to label scores, batched when the device is free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.autoscaling.offered_work import OfferedWork
from deployments.autoscaling.replica_stats import ReplicaStats
from deployments.replica_process import set_up_replica
from serve_app.domain import Call, LabelScores, Lane, LoadSignals, ModelIdentity
from serve_app.models.agreement import PolicyReference
from serve_app.scoring import EngineScorer
from serve_app.settings import ModelSettings


class ClipScorer:
    """One engine on one device. Once constructed, the model is loaded and every batch size has run."""

    def __init__(
        self, settings: ModelSettings, labels: tuple[str, ...], policy: PolicyReference, deadline_s: float
    ) -> None:
        set_up_replica()
        self._scorer = EngineScorer(settings, labels, policy, deadline_s)
        self._deadline_s = deadline_s
        self._offered = OfferedWork()

    async def identify(self) -> ModelIdentity:
        """The loaded and warm model."""
        return self._scorer.model

    async def score(
        self, pixels: NDArray[np.uint8], faces: NDArray[np.uint8], call: Call, load: LoadSignals
    ) -> LabelScores:
        """See :class:`serve_app.domain.Scorer`; of the views and faces only the pixels are sent."""
        if call.lane is Lane.LIVE:
            # Counted before the batcher may refuse them, since more replicas are for refused pictures.
            self._offered.add(load.demand * (len(pixels) + len(faces)) * self._scorer.view_s)
        return await self._scorer.score_pixels(pixels, faces, call, load)

    def check_health(self) -> None:
        """Called by Serve at intervals; an error makes Serve replace this replica."""
        self._scorer.require_alive()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Serve at intervals, for :mod:`deployments.autoscaling.policy`.

        A coroutine, so that Serve calls it on the batcher's own event loop.
        """
        return ReplicaStats(
            self._scorer.predicted_wait_s, self._offered.rate, self._offered.job_s, self._deadline_s
        ).as_metrics()
