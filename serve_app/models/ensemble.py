"""Several engines as one: each scores the same views, and has its columns among the labels (docs/adr/0017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import ModelIdentity
from serve_app.models.engine import Engine, Uploaded, measure_buckets
from serve_app.models.resampling import shrink


@dataclass(frozen=True, slots=True)
class Part:
    """An engine, and the labels that it was made with."""

    engine: Engine
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _UploadedParts:
    """What each engine uploaded of the same views."""

    of_parts: tuple[Uploaded, ...]


class Ensemble:
    """Engines that compute one after the other. Views have the side of the largest model."""

    def __init__(self, parts: Sequence[Part], labels: Sequence[str]) -> None:
        """Made of engines that are not yet warm.

        Args:
            parts: the engine for prompts first, if there is one: the temperature is that of the first.
            labels: all of the parts' labels, in the order in which scores are.
        """
        self._engines = [part.engine for part in parts]
        self.identity = ModelIdentity.together([engine.identity for engine in self._engines])
        self.logit_scale = self._engines[0].logit_scale
        self.uploads_ahead = any(engine.uploads_ahead for engine in self._engines)
        self.shares_cores = any(engine.shares_cores for engine in self._engines)
        columns = [label for part in parts for label in part.labels]
        self._columns = [columns.index(label) for label in labels]

    def warm_up(self, max_batch_views: int, max_pass_s: float) -> dict[int, float]:
        """See :class:`~serve_app.models.engine.Engine`: a pass is one of each engine."""
        size_px = self.identity.image_size_px
        blank = np.zeros((max(1, max_batch_views), size_px, size_px, 3), np.uint8)
        costs_s = [
            *(engine.warm_up(max_batch_views, max_pass_s) for engine in self._engines),
            measure_buckets(lambda bucket: self._shrunk(blank[:bucket]), max_batch_views, max_pass_s),
        ]
        sizes = takewhile(lambda size: all(size in cost_s for cost_s in costs_s), costs_s[0])
        pass_s = {size: sum(cost_s[size] for cost_s in costs_s) for size in sizes}
        is_short = takewhile(lambda size: size == 1 or pass_s[size] <= max_pass_s, pass_s)
        return {size: pass_s[size] for size in is_short}

    def upload(self, views: Sequence[NDArray[np.uint8]]) -> _UploadedParts:
        """See :class:`~serve_app.models.engine.Engine`."""
        shrunk = self._shrunk(np.stack(views))
        return _UploadedParts(
            tuple(engine.upload(list(each)) for engine, each in zip(self._engines, shrunk, strict=True))
        )

    def encode(self, uploaded: _UploadedParts | NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`~serve_app.models.engine.Engine`."""
        of_parts = uploaded.of_parts if isinstance(uploaded, _UploadedParts) else self._shrunk(uploaded)
        scores = [engine.encode(each) for engine, each in zip(self._engines, of_parts, strict=True)]
        return np.concatenate(scores, axis=1)[:, self._columns]

    def _shrunk(self, views: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """The views as each engine takes them."""
        sizes_px = [engine.identity.image_size_px for engine in self._engines]
        of_sizes = {size_px: shrink(views, size_px) for size_px in set(sizes_px)}
        return [of_sizes[size_px] for size_px in sizes_px]
