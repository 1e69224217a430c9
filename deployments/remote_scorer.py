"""The deployment in the place of the scorer where workers elsewhere score: they connect to it, and it has no model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from deployments.autoscaling.replica_stats import ReplicaStats
from deployments.ledger_file import require_one_file_in_cluster
from deployments.replica_metrics import publish_stage
from deployments.replica_process import set_up_replica
from serve_app.composition.front import Front
from serve_app.database.location import Location
from serve_app.domain import Call, Deadline, LabelScores, LoadSignals, ModelIdentity, UnavailableError
from serve_app.domain.workers import ConnectedWorker, WorkersHealth
from serve_app.http.guard import Guard
from serve_app.ledger import open_ledger
from serve_app.logs import of_request
from serve_app.metrics import watch_workers
from serve_app.policy import Policy
from serve_app.settings import Settings


class RemoteScorer:
    """One fleet of workers, for all ingress replicas. It has one replica: workers connect to one port."""

    def __init__(
        self,
        settings: Settings,
        label_sets: Sequence[tuple[str, ...]],
        policies: Sequence[Policy],
        location: Location | None = None,
        heads: Mapping[str, bytes] | None = None,
    ) -> None:
        """Listen for workers from when the port is free.

        Args:
            settings: of the application, with a section ``remote``.
            label_sets: those that pictures want.
            policies: whose thresholds the models of workers have to fit.
            location: of the ledger, in which scores of a worker that is not trusted any more are found; None: in no
                database.
            heads: the files of those among the labels; None: there are none.

        Raises:
            SettingsError: the secrets are unusable.
            ConfigurationError: the ledger is a file, and the ingress has another one, on another node.
        """
        set_up_replica("scorer", settings.log)
        guard = Guard.from_environment(settings.authentication, sources=settings.sources)
        self._ledger = open_ledger(location, settings.limits)
        require_one_file_in_cluster(location)
        self._came_back = asyncio.Event()
        self._back_at: datetime | None = None
        self._front = Front(settings, guard, label_sets, policies, self._came_back, self._ledger, heads or {})
        publish_stage(
            settings.metrics, lambda registry: watch_workers(registry, self._front.record, self._front.trust_record)
        )
        self._deadline_s = settings.deadline_s
        self._listening = asyncio.get_running_loop().create_task(self._listen(), name="listening for workers")

    async def _listen(self) -> None:
        async with self._front.taking_workers_of_node():
            while True:  # until the replica ends
                await self._came_back.wait()
                self._came_back.clear()
                self._back_at = datetime.now(UTC)

    async def identify(self, labels: tuple[str, ...]) -> ModelIdentity:
        """The model of the workers for ``labels``, one of the sets."""
        return await self._front.scorers.of(labels).identify(Deadline.after(self._deadline_s))

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
        return await self._front.scorers.of(labels).score_pixels(pixels, faces, call, load)

    async def connected_workers(self) -> Sequence[ConnectedWorker]:
        """See :class:`serve_app.domain.workers.WorkersView`, as the next two."""
        return await self._front.record.connected()

    async def workers_health(self) -> WorkersHealth:
        """Whether workers score."""
        return await self._front.record.health()

    async def dismiss_worker(self, name: str, actor: str) -> bool:
        """Send a worker away; False if none of that name is connected."""
        return await self._front.record.dismiss(name, actor)

    async def workers_back_at(self) -> datetime | None:
        """When the first worker came, after none was there; None while none has come."""
        return self._back_at

    def check_health(self) -> None:
        """Called by Serve at intervals; an error makes Serve replace this replica."""
        if self._listening.done():
            raise UnavailableError("the listener for workers has ended")
        self._front.require_alive()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Serve at intervals. More replicas would be no more workers: there is nothing to scale."""
        return ReplicaStats(0.0, 0.0, 0.0, self._deadline_s).as_metrics()

    async def close(self) -> None:
        """Send the workers away."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._ledger.close()
