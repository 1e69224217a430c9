"""What every engine does: it holds the labels of a policy, and answers for views.

An engine knows neither queues nor policies. One thread at a time encodes, and one at a time uploads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import DeviceMemoryError, ModelError, ModelIdentity

MAX_BUCKETS = 8

# A first pass compiles and allocates; the next is the one that requests will see. The least of a few is taken,
# because a neighbour on the machine can only make a pass longer, never shorter.
_WARM_UP_PASSES = 3

_LONG_S = 1.0
"""After two passes that took so long together, no third one is run: noise is short beside them, and somebody waits."""

Uploaded = Any
"""What :meth:`Engine.upload` made of views: nobody but the engine itself looks into it."""


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

        Sizes are powers of two up to ``max_batch_views``; the first whose pass takes longer than ``max_pass_s``, or
        does not fit into the device's memory, is left out with all above it. Size one is always there.

        Raises:
            ModelError: not even one view fits into the device's memory.
        """
        ...

    @property
    def uploads_ahead(self) -> bool:
        """Whether views are better uploaded while an earlier pass still runs, since they have a way to the device."""
        ...

    @property
    def shares_cores(self) -> bool:
        """Whether a pass computes on the cores that also receive and decode pictures."""
        ...

    def upload(self, views: Sequence[NDArray[np.uint8]]) -> Uploaded:
        """Begin to bring views to the device, for one later :meth:`encode`. May run beside another thread's encode.

        Args:
            views: each uint8, ``(size_px, size_px, 3)``, RGB; no more of them than the largest bucket.
        """
        ...

    def encode(self, uploaded: Uploaded) -> NDArray[np.float32]:
        """Cosine of every view to every label.

        Args:
            uploaded: what :meth:`upload` returned, to be used once; or views as one array, uint8,
                ``(views, size_px, size_px, 3)``, which are uploaded first.

        Returns:
            float32, ``(views, labels)``, each in -1..1.

        Raises:
            DeviceMemoryError: so many views do not fit into the device's memory.
        """
        ...


def measure_buckets(run_pass: Callable[[int], object], max_batch_views: int, max_pass_s: float) -> dict[int, float]:
    """What :meth:`Engine.warm_up` returns and raises, where ``run_pass`` runs a pass of so many views."""
    seconds: dict[int, float] = {}
    for bucket in buckets(max_batch_views):
        try:
            pass_s = _measure(run_pass, bucket)
        except DeviceMemoryError as error:
            if not seconds:
                raise ModelError(f"not even one view fits into the device's memory: {error}") from error
            break
        if pass_s > max_pass_s and seconds:
            break
        seconds[bucket] = pass_s
    return seconds


def _measure(run_pass: Callable[[int], object], bucket: int) -> float:
    seconds = [_time(run_pass, bucket), _time(run_pass, bucket)]
    while len(seconds) < _WARM_UP_PASSES and sum(seconds) < _LONG_S:
        seconds.append(_time(run_pass, bucket))
    return min(seconds)


def _time(run_pass: Callable[[int], object], bucket: int) -> float:
    start_s = time.perf_counter()
    run_pass(bucket)
    return time.perf_counter() - start_s


def buckets(max_batch_views: int) -> list[int]:
    """Powers of two from 1 to ``max_batch_views``, at most :data:`MAX_BUCKETS` of them (the largest are dropped)."""
    return [1 << power for power in range(MAX_BUCKETS) if 1 << power <= max(1, max_batch_views)]
