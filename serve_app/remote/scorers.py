"""Scorers whose models are elsewhere: one for each set of labels, over one fleet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import (
    Call,
    Deadline,
    Faces,
    LabelScores,
    LoadSignals,
    ModelIdentity,
    OtherVersionError,
    ViewPlace,
    Views,
)
from serve_app.remote.fleet import Fleet

_SOMEWHERE = ViewPlace(0, (0.0, 0.0, 1.0, 1.0))


class RemoteScorers:
    """The scorers for several sets of labels, with the face of :class:`serve_app.composition.scoring.EngineScorers`."""

    def __init__(self, fleet: Fleet, label_sets: Sequence[tuple[str, ...]]) -> None:
        """``label_sets`` are those of ``fleet``, in its order."""
        self._fleet = fleet
        self._scorers = {labels: RemoteScorer(fleet, place) for place, labels in enumerate(label_sets)}

    def of(self, labels: tuple[str, ...]) -> RemoteScorer:
        """The scorer for one of the sets of labels.

        Raises:
            OtherVersionError: it is none of them.
        """
        try:
            return self._scorers[labels]
        except KeyError:
            raise OtherVersionError("the scorer has other labels: it is being replaced") from None

    def require_alive(self) -> None:
        """Nothing of it can die: a front without workers is alive, and waits for one."""

    async def close(self) -> None:
        """Nothing: the workers go with their listener."""


class RemoteScorer:
    """:class:`serve_app.domain.Scorer` for one set of labels."""

    def __init__(self, fleet: Fleet, label_set: int) -> None:
        """``label_set`` is the place of the labels in the fleet's sets."""
        self._fleet = fleet
        self._label_set = label_set

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """See the port."""
        deadline.require("the scorer")
        return await self._fleet.identify(self._label_set, deadline)

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        """See the port."""
        return await self._fleet.score(self._label_set, views, call)

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
        found = Faces(faces, (_SOMEWHERE,) * len(faces))
        views = Views(pixels, (_SOMEWHERE,) * len(pixels), "", 1, 1, faces=found)
        return await self.score(views, call, load)
