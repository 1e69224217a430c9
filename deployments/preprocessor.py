"""The preprocessor's deployment: bytes to views, in worker processes beside the replica's event loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import ray

from deployments.autoscaling.offered_work import OfferedWork
from deployments.autoscaling.replica_stats import ReplicaStats
from deployments.replica_metrics import publish_stage
from deployments.replica_process import set_up_replica
from serve_app.composition.decoding import detector_for
from serve_app.domain import Call, Lane, LoadSignals, OnTruncated, Views
from serve_app.logs import of_request
from serve_app.media import MediaLimits, require_decoders
from serve_app.media.workers import DecodeWorkers
from serve_app.metrics import watch_decoding
from serve_app.settings import LogSettings, MetricsSettings


class Preprocessor:
    """Decodes pictures. Once constructed, its workers are warm."""

    def __init__(
        self,
        limits: MediaLimits,
        on_truncated: Mapping[Lane, OnTruncated],
        deadline_s: float,
        labels: Sequence[str],
        log: LogSettings,
        workers: int | None = None,
        cache_folder: Path | None = None,
        metrics: MetricsSettings | None = None,
    ) -> None:
        """Start the workers.

        Args:
            limits: on bodies and media.
            on_truncated: the treatment of a picture whose end is missing.
            deadline_s: of the application; the autoscaler gets it with the statistics.
            labels: those that are scored; some need more than views.
            log: as in the configuration.
            workers: how many pictures are decoded at once; by default one for each core of this replica.
            cache_folder: as ``model.cache_folder`` in the configuration.
            metrics: where they are told; None: nowhere.

        Raises:
            ModelError: what a label needs is not there.
        """
        set_up_replica("preprocessor", log)
        require_decoders()
        self._workers = DecodeWorkers(
            limits,
            workers or _assigned_cores(),
            on_truncated=on_truncated,
            detector=detector_for(labels, cache_folder),
        )
        self._offered = OfferedWork()
        self._deadline_s = deadline_s
        publish_stage(metrics, lambda registry: watch_decoding(registry, self._workers))

    async def preprocess(
        self, content: bytes, view_size_px: int, call: Call, load: LoadSignals, with_faces: bool
    ) -> Views:
        """See :class:`serve_app.domain.Preprocessor`."""
        of_request(call.request_id)
        if call.lane is Lane.LIVE:
            self._offered.add(load.demand * self._workers.picture_s)
        return await self._workers.preprocess(content, view_size_px, call, load, with_faces)

    def check_health(self) -> None:
        """Called by Serve at intervals; an error makes Serve replace this replica."""
        self._workers.require_alive()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Serve at intervals, for :mod:`deployments.autoscaling.policy`."""
        return ReplicaStats(
            self._workers.predicted_wait_s, self._offered.rate, self._workers.picture_s, self._deadline_s
        ).as_metrics()

    def close(self) -> None:
        """End the workers. They also end with the replica, however that ends."""
        self._workers.close()


def _assigned_cores() -> int:
    """The cores that Ray gives this replica; at least one, since a replica may ask for a share of a core."""
    resources = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1)))
