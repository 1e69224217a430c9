"""A deterministic engine without weights: the whole path around the model is tested with it in milliseconds.

With a pass that takes a fixed time it stands in for a device in benchmarks of what is around the model: the pass
sleeps, so that many such devices fit on one core.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import ModelError, ModelIdentity
from serve_app.models.engine import buckets
from serve_app.models.heads import Directions, no_directions
from serve_app.models.in_place import InPlaceEngine
from serve_app.models.source import FakeModel, parse_source

FAKE_NOTICE = "a fake engine that only knows how red, green or blue a view is; this protects nobody"
_CHANNELS = ("red", "green", "blue")


class FakeEngine(InPlaceEngine):
    """Scores a view against ``red``, ``green`` and ``blue`` by that channel's excess; other labels score zero.

    Its embedding is the mean of each channel, in 0..1.
    """

    shares_cores = True

    def __init__(
        self,
        labels: Sequence[str],
        image_size_px: int = 8,
        pass_s: float = 0.0,
        directions: Directions = no_directions,
    ) -> None:
        """Made for a policy.

        Args:
            labels: a label that contains a channel's name is scored by it.
            image_size_px: side of a view.
            pass_s: seconds that a pass sleeps, whatever the number of its views.
            directions: in the embedding; their columns stand behind those of the labels.
        """
        self.identity = ModelIdentity("fake", "0" * 64, image_size_px, FAKE_NOTICE)
        self.logit_scale = 100.0
        self._pass_s = pass_s
        self._mixing = np.hstack([np.zeros((3, len(labels)), np.float32), directions(len(_CHANNELS)).T])
        for column, label in enumerate(labels):
            for channel, colour in enumerate(_CHANNELS):
                if colour in label:
                    self._mixing[:, column] = -0.5
                    self._mixing[channel, column] = 1.0

    def warm_up(self, max_batch_views: int, max_pass_s: float) -> dict[int, float]:
        """See :class:`~serve_app.models.engine.Engine`; without ``pass_s`` a pass costs next to nothing."""
        pass_s = self._pass_s or min(1e-4, max_pass_s)
        return {bucket: pass_s for bucket in buckets(max_batch_views) if bucket == 1 or pass_s <= max_pass_s}

    def encode(self, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`~serve_app.models.engine.Engine`."""
        time.sleep(self._pass_s)
        means = uploaded.mean(axis=(1, 2), dtype=np.float32) / 255
        cosines: NDArray[np.float32] = (means @ self._mixing).clip(-1, 1)
        return cosines


def open_fake(source: str, labels: Sequence[str], directions: Directions = no_directions) -> FakeEngine:
    """The engine that ``source`` describes (see :mod:`serve_app.models.source`).

    Raises:
        ModelError: it describes another one.
    """
    parsed = parse_source(source)
    if not isinstance(parsed, FakeModel):
        raise ModelError(f"{source!r} is no fake model")
    return FakeEngine(labels, parsed.image_size_px, parsed.pass_s, directions)
