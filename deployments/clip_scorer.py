"""The scorer's deployment: views to label scores, batched when the device is free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deployments.autoscaling.offered_work import OfferedWork
from deployments.autoscaling.replica_stats import ReplicaStats
from deployments.replica_metrics import publish_stage
from deployments.replica_process import set_up_replica
from serve_app.composition.scoring import EngineScorers
from serve_app.domain import Call, LabelScores, Lane, LoadSignals, ModelIdentity
from serve_app.logs import of_request
from serve_app.metrics import watch_scoring
from serve_app.models.agreement import PolicyReference
from serve_app.settings import LogSettings, MetricsSettings, ModelSettings


class ClipScorer:
    """Engines on one device. Once constructed, the models are loaded and every batch size has run."""

    def __init__(
        self,
        settings: ModelSettings,
        label_sets: Sequence[tuple[str, ...]],
        policy: PolicyReference,
        deadline_s: float,
        log: LogSettings,
        metrics: MetricsSettings | None = None,
    ) -> None:
        """Load the models. ``metrics``: where they are told; None: nowhere."""
        set_up_replica("scorer", log)
        self._scorers = EngineScorers(settings, label_sets, policy, deadline_s)
        self._deadline_s = deadline_s
        self._offered = OfferedWork()
        publish_stage(metrics, lambda registry: watch_scoring(registry, self._scorers))

    async def identify(self, labels: tuple[str, ...]) -> ModelIdentity:
        """The loaded and warm model of ``labels``, one of the sets."""
        return self._scorers.of(labels).model

    async def score(
        self,
        labels: tuple[str, ...],
        pixels: NDArray[np.uint8],
        faces: NDArray[np.uint8],
        call: Call,
        load: LoadSignals,
    ) -> LabelScores:
        """See :class:`serve_app.domain.Scorer`; of the views and faces only the pixels are sent."""
        of_request(call.request_id)
        scorer = self._scorers.of(labels)
        if call.lane is Lane.LIVE:
            # Counted before the batcher may refuse them, since more replicas are for refused pictures.
            self._offered.add(load.demand * (len(pixels) + len(faces)) * scorer.view_s)
        return await scorer.score_pixels(pixels, faces, call, load)

    def check_health(self) -> None:
        """Called by Serve at intervals; an error makes Serve replace this replica."""
        self._scorers.require_alive()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Serve at intervals, for :mod:`deployments.autoscaling.policy`.

        A coroutine, so that Serve calls it on the batcher's own event loop.
        """
        return ReplicaStats(
            self._scorers.predicted_wait_s, self._offered.rate, self._offered.job_s, self._deadline_s
        ).as_metrics()
