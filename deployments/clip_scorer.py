"""The device's deployment: views to label scores, batched when the device is free."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from deployments.autoscaling.offered_work import OfferedWork
from deployments.autoscaling.replica_stats import ReplicaStats
from deployments.replica_process import set_up_replica
from serve_app.batching.batcher import Batcher
from serve_app.batching.idle_cores import idle_s
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import Deadline, LabelScores, Lane, ModelIdentity, UnavailableError
from serve_app.models.agreement import PolicyReference
from serve_app.models.engine import Staged
from serve_app.models.open import open_engine
from serve_app.settings import ModelSettings

logger = logging.getLogger(__name__)

# A pass may take this share of the deadline: a picture that arrives just after one began waits for it, then needs its
# own, and decoding and the network need time as well.
_PASS_SHARE_OF_DEADLINE = 0.25

# By so much niceness passes on the CPU step back behind what receives, decodes and refuses pictures on the same cores:
# that needs little, and late is late for all of it. The cores are as busy as before.
_CPU_PASS_NICENESS = 5

# A device that has not come back for this long is stuck; the replica says that it is not healthy and is replaced.
_HUNG_AFTER_S = 30.0


class ClipScorer:
    """One engine on one device. Ready when constructed: the model is loaded and every batch size has run."""

    def __init__(
        self, settings: ModelSettings, labels: tuple[str, ...], policy: PolicyReference, deadline_s: float
    ) -> None:
        set_up_replica()
        self._engine = open_engine(
            settings.source,
            labels,
            settings.device,
            settings.precision,
            settings.cpu_threads,
            settings.engine,
            policy,
            settings.cache_folder,
        )
        # One thread each: the engine runs one pass and stages one batch at a time, and the event loop stays free to
        # queue and refuse.
        self._device_thread = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._staging_thread = ThreadPoolExecutor(1, thread_name_prefix="staging")
        if self._engine.shares_cores:
            self._device_thread.submit(_step_back).result()
        # In the thread that will run the passes, which has a pool of computing threads of its own.
        pass_costs_s = self._device_thread.submit(
            self._engine.warm_up, settings.max_batch_views, deadline_s * _PASS_SHARE_OF_DEADLINE
        ).result()
        self._deadline_s = deadline_s
        self._costs = PassCosts(pass_costs_s)
        self._batcher: Batcher[NDArray[np.uint8], NDArray[np.float32]] = Batcher(
            self._run_pass,
            self._costs,
            settings.max_queued_views,
            self._stage if self._engine.stages_ahead else None,
            # What is being decoded needs the cores that a pass on the CPU would take from it.
            idle_s if self._engine.shares_cores else None,
        )
        self._offered = OfferedWork()
        identity = self._engine.identity
        logger.info(
            "model %s is warm, ms per pass by batch size: %s%s",
            identity,
            {bucket: round(seconds * 1e3, 1) for bucket, seconds in pass_costs_s.items()},
            f" NOTICE: {identity.notice}" if identity.notice else "",
        )

    async def identify(self) -> ModelIdentity:
        """The model that is loaded and warm."""
        return self._engine.identity

    async def score(
        self, pixels: NDArray[np.uint8], lane: Lane, demand: float, coming: int, remaining_s: float
    ) -> LabelScores:
        """See :class:`serve_app.domain.Scorer`.

        Args:
            pixels: uint8, ``(views, size_px, size_px, 3)``, of one picture.
            lane: who waits for it.
            demand: see :attr:`serve_app.moderation.admission.AdmissionControl.demand`.
            coming: live pictures that the caller is having preprocessed.
            remaining_s: what is left of the request's deadline.
        """
        size_px = self._engine.identity.image_size_px
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (size_px, size_px, 3):
            raise UnavailableError(f"views of {size_px} px are wanted, and {pixels.shape} {pixels.dtype} came")
        if lane is Lane.LIVE:
            # Before the batcher may refuse them: what is refused is what more replicas are for.
            view_s = self._costs.pass_s(self._costs.largest_bucket) / self._costs.largest_bucket
            self._offered.add(demand * len(pixels) * view_s)
        rows = await self._batcher.submit(list(pixels), Deadline.after(remaining_s), lane, coming)
        return LabelScores(np.stack(rows), self._engine.logit_scale, self._engine.identity)

    async def _stage(self, views: Sequence[NDArray[np.uint8]]) -> Staged:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._staging_thread, self._engine.stage, views)

    async def _run_pass(self, staged: Staged) -> Sequence[NDArray[np.float32]]:
        loop = asyncio.get_running_loop()
        return list(await loop.run_in_executor(self._device_thread, self._encode, staged))

    def _encode(self, staged: Staged) -> NDArray[np.float32]:
        return self._engine.encode(staged if self._engine.stages_ahead else np.stack(staged))

    def check_health(self) -> None:
        """Called by Serve from time to time; raising has this replica replaced."""
        self._batcher.require_alive()
        if self._batcher.overdue_s > _HUNG_AFTER_S:
            raise RuntimeError(f"the device is {self._batcher.overdue_s:.0f} s overdue: it is stuck")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Serve from time to time, for :mod:`deployments.autoscaling.policy`.

        A coroutine, so that Serve calls it on the batcher's own event loop.
        """
        return ReplicaStats(
            self._batcher.predicted_wait_s, self._offered.rate, self._offered.job_s, self._deadline_s
        ).as_metrics()


def _step_back() -> None:
    """Lower the priority of the calling thread and of those that it starts. Linux alone counts niceness by thread."""
    if sys.platform == "linux":
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, niceness + _CPU_PASS_NICENESS)
