"""The device's deployment: views to label scores, batched when the device is free."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from deployments.batcher import Batcher
from deployments.logs import log_like_serve
from deployments.pass_costs import PassCosts
from serve_app.clip.agreement import PolicyReference
from serve_app.clip.open import open_engine
from serve_app.domain import Deadline, LabelScores, ModelIdentity, UnavailableError
from serve_app.settings import ModelSettings

logger = logging.getLogger(__name__)

# A pass may take this share of the deadline: a picture that arrives just after one began waits for it, then needs its
# own, and decoding and the network need time as well.
_PASS_SHARE_OF_DEADLINE = 0.25

# A device that has not come back for this long is stuck; the replica says that it is not healthy and is replaced.
_HUNG_AFTER_S = 30.0


class ClipScorer:
    """One engine on one device. Ready when constructed: the model is loaded and every batch size has run."""

    def __init__(
        self, settings: ModelSettings, labels: tuple[str, ...], policy: PolicyReference, deadline_s: float
    ) -> None:
        log_like_serve()
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
        pass_costs_s = self._engine.warm_up(settings.max_batch_views, deadline_s * _PASS_SHARE_OF_DEADLINE)
        self._batcher: Batcher[NDArray[np.uint8], NDArray[np.float32]] = Batcher(
            self._run_pass, PassCosts(pass_costs_s), settings.max_queued_views
        )
        # One thread: the engine runs one pass at a time, and the event loop stays free to queue and refuse.
        self._device_thread = ThreadPoolExecutor(1, thread_name_prefix="device")
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

    async def score(self, pixels: NDArray[np.uint8], remaining_s: float) -> LabelScores:
        """See :class:`serve_app.domain.Scorer`.

        Args:
            pixels: uint8, ``(views, size_px, size_px, 3)``, of one picture.
            remaining_s: what is left of the request's deadline.
        """
        size_px = self._engine.identity.image_size_px
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (size_px, size_px, 3):
            raise UnavailableError(f"views of {size_px} px are wanted, and {pixels.shape} {pixels.dtype} came")
        rows = await self._batcher.submit(list(pixels), Deadline.after(remaining_s))
        return LabelScores(np.stack(rows), self._engine.logit_scale, self._engine.identity)

    async def _run_pass(self, views: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[np.float32]]:
        loop = asyncio.get_running_loop()
        return list(await loop.run_in_executor(self._device_thread, self._encode, views))

    def _encode(self, views: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return self._engine.encode(np.stack(views))

    def check_health(self) -> None:
        """Called by Serve from time to time; raising has this replica replaced."""
        if self._batcher.pass_overdue_s > _HUNG_AFTER_S:
            raise RuntimeError(f"a pass is {self._batcher.pass_overdue_s:.0f} s overdue: the device is stuck")
