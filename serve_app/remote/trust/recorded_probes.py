"""Drawn views with the scores that they had, for when nobody else is there to compare a worker with."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import LabelScores
from serve_app.remote.trust.probes import PictureShape, Probe

_KEPT: Final = 128
"""Views for each set of labels, and as many faces."""


@dataclass(frozen=True, slots=True)
class _Row:
    """The seed of a view or of a face, and its scores; ``worker`` gave them, or None where the front's engine did."""

    seed: int
    values: NDArray[np.float32]
    worker: str | None


class RecordedProbes:
    """The newest views that a trusted worker scored, or the first worker of all while it was alone."""

    def __init__(self) -> None:
        self._views: dict[int, deque[_Row]] = {}
        self._faces: dict[int, deque[_Row]] = {}

    def add(self, probe: Probe, scores: LabelScores) -> None:
        """``scores`` can be relied upon, or are the first that there are."""
        rows = [
            _Row(seed, values, scores.worker)
            for seed, values in zip((*probe.seeds, *probe.face_seeds), scores.values, strict=True)
        ]
        views, label_set = len(probe.seeds), probe.shape.label_set
        self._views.setdefault(label_set, deque(maxlen=_KEPT)).extend(rows[:views])
        self._faces.setdefault(label_set, deque(maxlen=_KEPT)).extend(rows[views:])

    def forget(self, worker: str) -> None:
        """Drop what this worker scored."""
        for kept in (self._views, self._faces):
            for label_set, rows in kept.items():
                kept[label_set] = deque((row for row in rows if row.worker != worker), maxlen=_KEPT)

    def has(self, label_set: int) -> bool:
        """Whether anything is recorded for a set of labels."""
        return bool(self._views.get(label_set))

    def scored_by(self, label_set: int) -> Sequence[str]:
        """Who gave the scores: names of workers, and none for the front's engine."""
        return sorted({row.worker for row in self._views.get(label_set, ()) if row.worker is not None})

    def one(self, chance: random.Random, shape: PictureShape, size_px: int) -> tuple[Probe, NDArray[np.float32]] | None:
        """A probe of this shape put together of recorded views, and its scores; None if nothing is recorded."""
        views, faces = self._views.get(shape.label_set), self._faces.get(shape.label_set)
        if not views:
            return None
        some = _some(chance, views, shape.views)
        some_faces = _some(chance, faces, shape.faces) if faces else []
        probe = Probe(shape, size_px, tuple(row.seed for row in some), tuple(row.seed for row in some_faces))
        return probe, np.stack([row.values for row in (*some, *some_faces)])


def _some(chance: random.Random, rows: Sequence[_Row], count: int) -> list[_Row]:
    return chance.sample(rows, count) if count <= len(rows) else chance.choices(rows, k=count)
