"""An engine whose last columns are cosines to the directions of heads, as one that gives their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import ModelIdentity
from serve_app.models.engine import Engine, Uploaded
from serve_app.models.heads import Head


@dataclass(frozen=True, slots=True)
class WithHeads:
    """See :class:`~serve_app.models.engine.Engine`; the heads have the last columns of ``engine``, in their order."""

    engine: Engine
    heads: tuple[Head, ...]

    @property
    def identity(self) -> ModelIdentity:
        """That of the model: a head is named by its label."""
        return self.engine.identity

    @property
    def logit_scale(self) -> float:
        """See :class:`~serve_app.models.engine.Engine`."""
        return self.engine.logit_scale

    @property
    def uploads_ahead(self) -> bool:
        """See :class:`~serve_app.models.engine.Engine`."""
        return self.engine.uploads_ahead

    @property
    def shares_cores(self) -> bool:
        """See :class:`~serve_app.models.engine.Engine`."""
        return self.engine.shares_cores

    def warm_up(self, max_batch_views: int, max_pass_s: float) -> dict[int, float]:
        """See :class:`~serve_app.models.engine.Engine`."""
        return dict(self.engine.warm_up(max_batch_views, max_pass_s))

    def upload(self, views: Sequence[NDArray[np.uint8]]) -> Uploaded:
        """See :class:`~serve_app.models.engine.Engine`."""
        return self.engine.upload(views)

    def encode(self, uploaded: Uploaded) -> NDArray[np.float32]:
        """See :class:`~serve_app.models.engine.Engine`."""
        scores = self.engine.encode(uploaded)
        first = scores.shape[1] - len(self.heads)
        of_heads = [head.probabilities(scores[:, first + place]) for place, head in enumerate(self.heads)]
        return np.column_stack([scores[:, :first], *of_heads])
