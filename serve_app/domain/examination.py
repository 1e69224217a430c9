"""Examinations: the scores of a picture's views, and the model that gave them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from serve_app.domain.fingerprints import FrameFingerprint
from serve_app.domain.media import ViewPlace, Views


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """The model that scored. ``digest`` is the sha256 (hex) of its weights and configuration.

    ``image_size_px`` is the side of the views that are cut for it.
    ``notice`` is set for a model that would be trusted for too much; it is repeated wherever the scores show.
    ``derived_from`` is set for a converted model, which scores differently and has a digest of its own: it is the
    digest of the original, to which a policy's thresholds belong.
    ``parts`` are the models that scored together (:meth:`together`); a single one has none.
    """

    name: str
    digest: str
    image_size_px: int
    notice: str | None = None
    derived_from: str | None = None
    parts: tuple[ModelIdentity, ...] = ()

    @classmethod
    def together(cls, parts: Sequence[ModelIdentity]) -> ModelIdentity:
        """One identity of models that score the same views; that of a single one is its own."""
        if len(parts) == 1:
            return parts[0]
        digest = hashlib.sha256("".join(f"{part.digest}\n" for part in parts).encode())
        return cls(
            name=" + ".join(part.name for part in parts),
            digest=digest.hexdigest(),
            image_size_px=max(part.image_size_px for part in parts),
            notice=" ".join(notice for part in parts for notice in part.notices) or None,
            parts=tuple(parts),
        )

    @property
    def weights_digest(self) -> str:
        """That of the weights to which thresholds and heads belong: of a converted model, the original's."""
        return (self.derived_from or self.digest).lower()

    @property
    def each(self) -> tuple[ModelIdentity, ...]:
        """The models that scored, of which none is made of others."""
        return self.parts or (self,)

    @property
    def notices(self) -> tuple[str, ...]:
        """The notice of each model that has one, behind its name."""
        return tuple(f"{each.name}: {each.notice}" for each in self.each if each.notice)

    def __str__(self) -> str:
        return f"{self.name}@{self.digest[:12]}" if self.digest else self.name


@dataclass(frozen=True, slots=True)
class LabelScores:
    """How much each view resembles each label of the policy: its prompts, its heads, and its classifiers' outputs.

    ``values`` is float32, ``(views, labels)``; the columns are in the order of ``Policy.labels``. A prompt has a
    cosine, -1..1; a head has a probability, 0..1; so has an output, or NaN where its classifier found nothing to look
    at: *unknown*.
    ``logit_scale`` is CLIP's own inverse temperature, 1 without CLIP: its probabilities are
    softmax(logit_scale * cosines) (Radford et al. 2021, arXiv:2103.00020, figure 3).
    ``worker`` names the worker elsewhere that scored; None where an engine of the service's own did.
    """

    values: NDArray[np.float32]
    logit_scale: float
    model: ModelIdentity
    worker: str | None = None

    def picked(self, labels: Sequence[str], wanted: Sequence[str]) -> LabelScores | None:
        """The columns of ``wanted``, in that order, of scores whose columns are ``labels``; None if one is missing."""
        if tuple(labels) == tuple(wanted):
            return self
        columns = {label: column for column, label in enumerate(labels)}
        if not columns.keys() >= set(wanted):
            return None
        return replace(self, values=self.values.take([columns[label] for label in wanted], axis=1))

    def of_views(self, views: Views) -> LabelScores:
        """The scores of the views alone, of scores whose last rows are those of the faces.

        Where a view's score is unknown, it is the largest of the faces whose middle is in the view, in the same frame;
        without such a face it stays unknown.
        """
        count = len(views.places)
        if len(self.values) == count:
            return self
        values = self.values[:count].copy()
        for view, place in enumerate(views.places):
            inside = [row for row, face in enumerate(views.faces.places, count) if _is_inside(face, place)]
            # A face's row has no score of the classifiers of views, and theirs none of those of faces.
            values[view] = np.fmax.reduce(self.values[[view, *inside]], axis=0)
        return replace(self, values=values)


def _is_inside(face: ViewPlace, view: ViewPlace) -> bool:
    left, top, right, bottom = view.box
    across, down = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    return face.frame == view.frame and left <= across <= right and top <= down <= bottom


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything about one picture that a judgement needs.

    ``places`` has one entry for each view, in the order of the rows of ``scores``. ``is_truncated`` if the end of the
    file was missing and only its first part was scanned. ``fingerprints`` as in :class:`~serve_app.domain.Views`.
    ``preprocess_ms`` and ``score_ms`` are how long the two stages took, their waits included; zero where the
    examination was recalled and no stage ran (``is_recalled``).
    """

    scores: LabelScores
    places: tuple[ViewPlace, ...]
    media_type: str
    frames_seen: int
    frames_total: int
    is_truncated: bool = False
    fingerprints: tuple[FrameFingerprint, ...] = field(default=(), repr=False)
    preprocess_ms: float = 0.0
    score_ms: float = 0.0
    is_recalled: bool = False

    @classmethod
    def of(cls, views: Views, scores: LabelScores, preprocess_ms: float = 0.0, score_ms: float = 0.0) -> Examination:
        """The examination of a picture of which ``views`` were cut."""
        return cls(
            scores.of_views(views),
            views.places,
            views.media_type,
            views.frames_seen,
            views.frames_total,
            views.is_truncated,
            views.fingerprints,
            preprocess_ms,
            score_ms,
        )
