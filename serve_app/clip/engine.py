"""What every engine does: it holds the labels of a policy, and answers for views.

An engine knows neither queues nor policies. It is not thread-safe: one thread at a time encodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import ModelIdentity

MAX_BUCKETS = 8


class Engine(Protocol):
    """What scores views against the labels that it was made with."""

    @property
    def identity(self) -> ModelIdentity:
        """The model that looks."""
        ...

    @property
    def logit_scale(self) -> float:
        """The model's inverse temperature."""
        ...

    def warm_up(self, max_batch_views: int, max_pass_s: float) -> Mapping[int, float]:
        """Run every batch size that will be used; returns seconds per pass for each, smallest size first.

        Sizes are powers of two up to ``max_batch_views``; the first whose pass takes longer than ``max_pass_s`` is
        left out with all above it, except size one, which is always there.
        """
        ...

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Cosine of every view to every label.

        Args:
            pixels: uint8, ``(views, size_px, size_px, 3)``, RGB.

        Returns:
            float32, ``(views, labels)``, each in -1..1.
        """
        ...


def buckets(max_batch_views: int) -> list[int]:
    """Powers of two from 1 to ``max_batch_views``, at most :data:`MAX_BUCKETS` of them (the largest are dropped)."""
    return [1 << power for power in range(MAX_BUCKETS) if 1 << power <= max(1, max_batch_views)]
