"""What engines have in common whose views are already where they are computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import ModelIdentity
from serve_app.models.engine import measure_buckets


class InPlaceEngine(ABC):
    """The rest of :class:`serve_app.models.engine.Engine` for one that encodes arrays of views."""

    uploads_ahead = False
    identity: ModelIdentity

    def warm_up(self, max_batch_views: int, max_pass_s: float) -> dict[int, float]:
        """See the protocol."""
        size_px = self.identity.image_size_px
        blank = np.zeros((max(1, max_batch_views), size_px, size_px, 3), np.uint8)
        return measure_buckets(lambda bucket: self.encode(blank[:bucket]), max_batch_views, max_pass_s)

    def upload(self, views: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """See the protocol."""
        return np.stack(views)

    @abstractmethod
    def encode(self, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See the protocol."""
