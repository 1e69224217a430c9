"""An engine that looks at views and one that looks at faces, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import LabelScores, ModelIdentity, Views
from serve_app.models.engine import Engine, Uploaded
from serve_app.models.ensemble import Part
from serve_app.models.passes import encode, in_passes
from serve_app.models.resampling import shrink


@dataclass(frozen=True, slots=True)
class FacePixels:
    """Marks a face among views: ``pixels`` is uint8, ``(FACE_SIZE_PX, FACE_SIZE_PX, 3)``, RGB."""

    pixels: NDArray[np.uint8]


Item = NDArray[np.uint8] | FacePixels
"""A row of a pass: a view, or a face."""


@dataclass(frozen=True, slots=True)
class _UploadedKinds:
    """What each engine uploaded of the items of its kind, or None where there are none; and which items are faces."""

    views: Uploaded
    faces: Uploaded
    is_face: NDArray[np.bool_]


class WithFaces:
    """Scores views and faces, each by its own engine: what an engine did not look at is NaN, unknown."""

    def __init__(self, of_views: Part | None, of_faces: Part, labels: Sequence[str]) -> None:
        """Made of engines that are not yet warm.

        Args:
            of_views: looks at views; None if a policy asks for faces alone.
            of_faces: looks at faces.
            labels: those of both, in the order in which scores are.
        """
        self._of_views, self._of_faces = of_views, of_faces
        self._engines = [part.engine for part in (of_views, of_faces) if part is not None]
        self.identity = ModelIdentity.together([each for engine in self._engines for each in engine.identity.each])
        self.logit_scale = self._engines[0].logit_scale
        self.uploads_ahead = any(engine.uploads_ahead for engine in self._engines)
        self.shares_cores = any(engine.shares_cores for engine in self._engines)
        self._labels = tuple(labels)

    def warm_up(self, max_batch_views: int, max_pass_s: float) -> dict[int, float]:
        """See :class:`~serve_app.models.engine.Engine`: as many items of the dearer kind."""
        costs_s = [engine.warm_up(max_batch_views, max_pass_s) for engine in self._engines]
        return {size: max(cost_s[size] for cost_s in costs_s) for size in costs_s[0] if size in costs_s[-1]}

    def upload(self, views: Sequence[Item]) -> _UploadedKinds:
        """See :class:`~serve_app.models.engine.Engine`; a face among the views is a :class:`FacePixels`."""
        faces = [each.pixels for each in views if isinstance(each, FacePixels)]
        others = [each for each in views if not isinstance(each, FacePixels)]
        is_face = np.array([isinstance(each, FacePixels) for each in views])
        of_views = self._of_views
        uploaded = of_views.engine.upload(_sized(others, of_views.engine)) if of_views and others else None
        return _UploadedKinds(uploaded, self._of_faces.engine.upload(faces) if faces else None, is_face)

    def encode(self, uploaded: _UploadedKinds | NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`~serve_app.models.engine.Engine`; NaN where a row is of the other kind."""
        kinds = uploaded if isinstance(uploaded, _UploadedKinds) else self.upload(list(uploaded))
        values = np.full((len(kinds.is_face), len(self._labels)), np.nan, np.float32)
        if self._of_views is not None and kinds.views is not None:
            self._put(values, ~kinds.is_face, self._of_views, kinds.views)
        if kinds.faces is not None:
            self._put(values, kinds.is_face, self._of_faces, kinds.faces)
        return values

    def _put(self, values: NDArray[np.float32], rows: NDArray[np.bool_], part: Part, uploaded: Uploaded) -> None:
        columns = [self._labels.index(label) for label in part.labels]
        values[np.flatnonzero(rows)[:, np.newaxis], columns] = part.engine.encode(uploaded)


def _sized(views: Sequence[NDArray[np.uint8]], engine: Engine) -> list[NDArray[np.uint8]]:
    """Views as the engine takes them: they are cut no smaller than a face."""
    return list(shrink(np.stack(views), engine.identity.image_size_px))


def items_of(pixels: NDArray[np.uint8], faces: NDArray[np.uint8]) -> list[Item]:
    """The rows for a picture: its views, and its faces behind them."""
    return [*pixels, *map(FacePixels, faces)]


def scores_of(engine: Engine, *pictures: Views) -> list[LabelScores]:
    """What a warm engine says of each picture, as its views are judged; together, as far as a pass has room."""
    if isinstance(engine, WithFaces):
        counts = [len(each.pixels) + len(each.faces.pixels) for each in pictures]
        items = [item for each in pictures for item in items_of(each.pixels, each.faces.pixels)]
        values = np.concatenate([engine.encode(engine.upload(some)) for some in in_passes(items)])
    else:
        counts = [len(each.pixels) for each in pictures]
        values = encode(engine, [view for each in pictures for view in each.pixels])
    own = np.split(values, np.cumsum(counts)[:-1])
    return [
        LabelScores(rows_of_one, engine.logit_scale, engine.identity).of_views(views)
        for rows_of_one, views in zip(own, pictures, strict=True)
    ]
