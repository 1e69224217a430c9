"""One engine on one device behind one batcher: the scorer of a process.

It joins the rooms ``models`` and ``batching``, which do not know each other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_app.batching import Batcher, PassCosts, idle_s
from serve_app.domain import (
    FACE_SIZE_PX,
    Call,
    Deadline,
    LabelScores,
    LoadSignals,
    ModelIdentity,
    UnavailableError,
    Views,
)
from serve_app.models.agreement import PolicyReference
from serve_app.models.engine import Staged
from serve_app.models.factory import open_engine
from serve_app.models.with_faces import Item, WithFaces, items_of
from serve_app.process import name_thread
from serve_app.settings import ModelSettings

logger = logging.getLogger(__name__)

# The share of the deadline for a pass: a picture may wait for a whole pass before its own, and decoding and the network
# need time too.
_PASS_SHARE_OF_DEADLINE = 0.25

# Passes on the CPU leave the cores first to receiving, decoding and refusing pictures (docs/adr/0008).
_CPU_PASS_NICENESS = 5

# A device whose pass is late by more than this is stuck.
_HUNG_AFTER_S = 30.0


class EngineScorer:
    """:class:`serve_app.domain.Scorer` over an engine. Warm when constructed: every batch size has run.

    For one event loop; close it after use.
    """

    def __init__(
        self, settings: ModelSettings, labels: tuple[str, ...], policy: PolicyReference, deadline_s: float
    ) -> None:
        """Load the model and warm it.

        Args:
            settings: the model, its engine and its device.
            labels: of the policy.
            policy: the policy for which a quantised engine needs an agreement, and the files of its heads.
            deadline_s: of the application; a pass may take a share of it.

        Raises:
            ModelError: as :func:`serve_app.models.factory.open_engine`.
        """
        self._engine = open_engine(
            settings.source,
            labels,
            device=settings.device,
            precision=settings.precision,
            cpu_threads=settings.cpu_threads,
            engine=settings.engine,
            policy=policy,
            cache_folder=settings.cache_folder,
        )
        self._has_faces = isinstance(self._engine, WithFaces)
        # One thread each, so that the event loop stays free to queue and refuse.
        self._device_thread = ThreadPoolExecutor(1, "device", name_thread, ("device",))
        self._staging_thread = ThreadPoolExecutor(1, "staging", name_thread, ("staging",))
        if self._engine.shares_cores:
            self._device_thread.submit(_step_back).result()
        # In the thread of the passes, which has a pool of computing threads of its own.
        pass_costs_s = self._device_thread.submit(
            self._engine.warm_up, settings.max_batch_views, deadline_s * _PASS_SHARE_OF_DEADLINE
        ).result()
        self._costs = PassCosts(pass_costs_s)
        self._batcher: Batcher[Item, NDArray[np.float32]] = Batcher(
            self._run_pass,
            self._costs,
            settings.max_queued_views,
            self._stage if self._engine.stages_ahead else None,
            # A pass on the CPU would take the cores from the decoding.
            idle_s if self._engine.shares_cores else None,
        )
        identity = self._engine.identity
        logger.info(
            "model %s is warm, ms per pass by batch size: %s%s",
            identity,
            {bucket: round(seconds * 1e3, 1) for bucket, seconds in pass_costs_s.items()},
            f" NOTICE: {identity.notice}" if identity.notice else "",
        )

    @property
    def model(self) -> ModelIdentity:
        """The loaded and warm model."""
        return self._engine.identity

    @property
    def view_s(self) -> float:
        """Seconds of the device for a view, in its largest pass."""
        return self._costs.pass_s(self._costs.largest_bucket) / self._costs.largest_bucket

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until the device would be free for a live view that arrived now."""
        return self._batcher.predicted_wait_s

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """See the port."""
        deadline.require("the scorer")
        return self.model

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        """See the port."""
        return await self.score_pixels(views.pixels, views.faces.pixels, call, load)

    async def score_pixels(
        self, pixels: NDArray[np.uint8], faces: NDArray[np.uint8], call: Call, load: LoadSignals
    ) -> LabelScores:
        """As :meth:`score`, for views of which only the pixels were sent.

        Args:
            pixels: uint8, ``(views, size_px, size_px, 3)``, of one picture.
            faces: uint8, ``(faces, FACE_SIZE_PX, FACE_SIZE_PX, 3)``, of the same.
            call: of the picture.
            load: of the front.
        """
        size_px = self.model.image_size_px
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (size_px, size_px, 3):
            raise UnavailableError(f"wrong views: {pixels.shape} {pixels.dtype}; the model takes {size_px} px")
        if len(faces) and faces.shape[1:] != (FACE_SIZE_PX, FACE_SIZE_PX, 3):
            raise UnavailableError(f"wrong faces: {faces.shape}")
        items = items_of(pixels, faces) if self._has_faces else list(pixels)
        rows = await self._batcher.submit(items, call, load.coming)
        return LabelScores(np.stack(rows), self._engine.logit_scale, self.model)

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: batching has ended, or the device is stuck.
        """
        self._batcher.require_alive()
        if self._batcher.overdue_s > _HUNG_AFTER_S:
            raise UnavailableError(f"the device is stuck: its pass is {self._batcher.overdue_s:.0f} s late")

    async def close(self) -> None:
        """Stop; waiting callers are answered as unavailable."""
        await self._batcher.close()
        for thread in (self._staging_thread, self._device_thread):
            thread.shutdown(wait=False, cancel_futures=True)

    async def _stage(self, views: Sequence[Any]) -> Staged:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._staging_thread, self._engine.stage, views)

    async def _run_pass(self, staged: Staged) -> Sequence[NDArray[np.float32]]:
        loop = asyncio.get_running_loop()
        return list(await loop.run_in_executor(self._device_thread, self._encode, staged))

    def _encode(self, staged: Staged) -> NDArray[np.float32]:
        if self._engine.stages_ahead:
            return self._engine.encode(staged)
        return self._engine.encode(self._engine.stage(staged) if self._has_faces else np.stack(staged))


def _step_back() -> None:
    """Lower the priority of the calling thread and of those that it starts. Linux alone counts niceness by thread."""
    if sys.platform == "linux":
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, niceness + _CPU_PASS_NICENESS)
