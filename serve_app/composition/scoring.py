"""The scorers of a process: one for each set of labels that a picture may want, on one device behind one batcher.

It joins the rooms ``models`` and ``batching``, which do not know each other. A picture pays for the models of its own
labels: their views are cut for it, and their passes run for it (docs/adr/0021).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_app.batching import Batcher, BatcherStats, PassCosts, idle_s
from serve_app.domain import (
    FACE_SIZE_PX,
    Call,
    Deadline,
    LabelScores,
    LoadSignals,
    ModelIdentity,
    OtherVersionError,
    UnavailableError,
    Views,
)
from serve_app.host.process import name_thread
from serve_app.logs import EventLogger
from serve_app.models.agreement import PolicyReference
from serve_app.models.engine import Engine, Uploaded
from serve_app.models.factory import open_engines
from serve_app.models.heads import Head
from serve_app.models.with_faces import Item, WithFaces, items_of
from serve_app.settings import ModelSettings

logger = EventLogger(__name__)

# The share of the deadline for a pass: a picture may wait for a whole pass before its own, and decoding and the network
# need time too.
_PASS_SHARE_OF_DEADLINE = 0.25

# Passes on the CPU leave the cores first to receiving, decoding and refusing pictures (docs/adr/0008).
_CPU_PASS_NICENESS = 5

# A device whose pass is late by more than this is stuck.
_HUNG_AFTER_S = 30.0

_Batcher = Batcher[Item, NDArray[np.float32]]


class EngineScorers:
    """The scorers for several sets of labels. Warm when constructed: every batch size of each has run.

    For one event loop; close it after use.
    """

    def __init__(
        self,
        settings: ModelSettings,
        label_sets: Sequence[tuple[str, ...]],
        policy: PolicyReference | None,
        deadline_s: float,
        heads: Mapping[str, Head] | None = None,
    ) -> None:
        """Load the models and warm them.

        Args:
            settings: the model of the prompts, its engine and the device.
            label_sets: those that pictures want.
            policy: the policy for which a quantised engine needs an agreement, and the files of its heads; None has
                neither.
            deadline_s: of the application; a pass may take a share of it.
            heads: by label, those that are read already, instead of the files of ``policy``.

        Raises:
            ModelError: as :func:`serve_app.models.factory.open_engines`.
        """
        opened = open_engines(
            settings.source,
            label_sets,
            device=settings.device,
            precision=settings.precision,
            cpu_threads=settings.cpu_threads,
            engine=settings.engine,
            policy=policy,
            cache_folder=settings.cache_folder,
            heads=heads,
        )
        self._engines = dict(zip(label_sets, opened, strict=True))
        self._uploads_ahead = any(engine.uploads_ahead for engine in opened)
        self.shares_cores = any(engine.shares_cores for engine in opened)
        """Whether passes compute on the cores of the machine, and not on a device of their own."""
        # One thread each, so that the event loop stays free to queue and refuse.
        self._device_thread = ThreadPoolExecutor(1, "device", name_thread, ("device",))
        self._upload_thread = ThreadPoolExecutor(1, "upload", name_thread, ("upload",))
        if self.shares_cores:
            self._device_thread.submit(_step_back).result()
        costs: dict[Any, PassCosts] = {
            labels: PassCosts(self._warm(engine, settings.max_batch_views, deadline_s * _PASS_SHARE_OF_DEADLINE))
            for labels, engine in self._engines.items()
        }
        self._batcher: _Batcher = Batcher(
            self._run_pass,
            costs,
            settings.max_queued_views,
            self._upload if self._uploads_ahead else None,
            # A pass on the CPU would take the cores from the decoding.
            idle_s if self.shares_cores else None,
            check=self._check,
        )
        self._scorers = {
            labels: EngineScorer(labels, engine, costs[labels], self._batcher)
            for labels, engine in self._engines.items()
        }

    def of(self, labels: tuple[str, ...]) -> EngineScorer:
        """The scorer for one of the sets of labels.

        Raises:
            OtherVersionError: it is none of them.
        """
        try:
            return self._scorers[labels]
        except KeyError:
            raise OtherVersionError("the scorer has other labels: it is being replaced") from None

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until the device would be free for a live view that arrived now."""
        return self._batcher.predicted_wait_s

    @property
    def stats(self) -> BatcherStats:
        """Counts of the device since the start."""
        return self._batcher.stats

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: batching has ended, or the device is broken or stuck.
        """
        self._batcher.require_alive()
        if self._batcher.overdue_s > _HUNG_AFTER_S:
            raise UnavailableError(f"the device is stuck: its pass is {self._batcher.overdue_s:.0f} s late")

    async def close(self) -> None:
        """Stop; waiting callers are answered as unavailable."""
        await self._batcher.close()
        for thread in (self._upload_thread, self._device_thread):
            thread.shutdown(wait=False, cancel_futures=True)

    def _warm(self, engine: Engine, max_batch_views: int, max_pass_s: float) -> Mapping[int, float]:
        # In the thread of the passes, which has a pool of computing threads of its own.
        pass_costs_s = self._device_thread.submit(engine.warm_up, max_batch_views, max_pass_s).result()
        pass_ms = {bucket: round(seconds * 1e3, 1) for bucket, seconds in pass_costs_s.items()}
        notice = engine.identity.notice
        logger.info(
            "model_warm",
            f"model {engine.identity} is warm, ms per pass by batch size: {pass_ms}"
            f"{f' NOTICE: {notice}' if notice else ''}",
            model=engine.identity,
            pass_ms=pass_ms,
            notice=notice,
        )
        return pass_costs_s

    async def _upload(self, labels: Any, items: Sequence[Any]) -> Uploaded:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._upload_thread, self._engines[labels].upload, items)

    async def _run_pass(self, labels: Any, uploaded: Uploaded) -> Sequence[NDArray[np.float32]]:
        loop = asyncio.get_running_loop()
        return list(await loop.run_in_executor(self._device_thread, self._encode, self._engines[labels], uploaded))

    async def _check(self, labels: Any) -> None:
        """Look at black pixels, of which no picture can have spoilt any."""
        engine = self._engines[labels]
        view, face = (np.zeros((1, px, px, 3), np.uint8) for px in (engine.identity.image_size_px, FACE_SIZE_PX))
        items = items_of(view, face) if isinstance(engine, WithFaces) else list(view)
        await self._run_pass(labels, await self._upload(labels, items) if self._uploads_ahead else items)

    def _encode(self, engine: Engine, uploaded: Uploaded) -> NDArray[np.float32]:
        if self._uploads_ahead:
            return engine.encode(uploaded)
        return engine.encode(engine.upload(uploaded) if isinstance(engine, WithFaces) else np.stack(uploaded))


class EngineScorer:
    """:class:`serve_app.domain.Scorer` for one set of labels."""

    def __init__(self, labels: tuple[str, ...], engine: Engine, costs: PassCosts, batcher: _Batcher) -> None:
        """``labels`` are the batcher's name for the passes of ``engine``, which take ``costs``."""
        self._labels = labels
        self._engine = engine
        self._costs = costs
        self._batcher = batcher

    @property
    def model(self) -> ModelIdentity:
        """The loaded and warm model."""
        return self._engine.identity

    @property
    def pass_s(self) -> Mapping[int, float]:
        """Seconds of the device for a pass, by its number of views."""
        return self._costs.by_size

    @property
    def view_s(self) -> float:
        """Seconds of the device for a view, in its largest pass."""
        return self._costs.pass_s(self._costs.largest_bucket) / self._costs.largest_bucket

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
        items = items_of(pixels, faces) if isinstance(self._engine, WithFaces) else list(pixels)
        rows = await self._batcher.submit(items, call, load.coming, self._labels)
        return LabelScores(np.stack(rows), self._engine.logit_scale, self.model)


def _step_back() -> None:
    """Lower the priority of the calling thread and of those that it starts. Linux alone counts niceness by thread."""
    if sys.platform == "linux":
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, niceness + _CPU_PASS_NICENESS)
