"""Two engines over the same pictures: the same verdicts? The same scores? How much faster?

Pictures go the way of an upload: decoded and cut by the media room, judged by the policy. Only names of files leave it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import Deadline, Judgement, LabelScores, UnscannedError, Verdict
from serve_app.media import MediaLimits, preprocess
from serve_app.models.engine import Engine
from serve_app.models.passes import encode
from serve_app.policy import Policy, concept_scores, evaluate

# Nobody waits for an answer: this only ends a decode that never would.
_DECODE_DEADLINE_S = 60.0

# Threads that compute one view together wait for each other after each layer, which takes many times as long on a
# machine that is busy otherwise.
_PICTURES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Side:
    """The judgement of one engine: the verdict, the rule that gave it, and the margin over its line."""

    verdict: Verdict
    rule: str | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A picture that the engines judge differently, by the name of its file."""

    picture: str
    reference: Side
    candidate: Side


@dataclass(frozen=True, slots=True)
class Difference:
    """Absolute differences between two engines' scores: the largest, and the mean over all views."""

    largest: float
    mean: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two engines over one set of pictures. ``skipped`` files could not be decoded.

    ``*_s`` are seconds of computing a picture, all its views together, decoding not included.
    """

    pictures: int
    skipped: int
    disagreements: tuple[Disagreement, ...]
    cosines: Difference
    concepts: Mapping[str, Difference]
    reference_s: float
    candidate_s: float

    @property
    def agreement(self) -> float:
        """Share of the pictures with the same verdict, 0..1; 0 without a picture."""
        return 1 - len(self.disagreements) / self.pictures if self.pictures else 0.0


@dataclass(frozen=True, slots=True)
class _Scored:
    """One engine's scores of one picture; ``concepts`` is float64, ``(views, concepts)``."""

    judgement: Judgement
    cosines: NDArray[np.float32]
    concepts: NDArray[np.float64]
    seconds: float


def compare(
    pictures: Iterable[Path],
    policy: Policy,
    reference: Engine,
    candidate: Engine,
    limits: MediaLimits,
    on_picture: Callable[[], None] = lambda: None,
) -> Comparison:
    """Score every picture with both engines, and judge both scores.

    Args:
        pictures: files; those that cannot be decoded are skipped and counted.
        policy: judges the scores of both.
        reference: the engine that the policy's thresholds were measured with.
        candidate: the engine that is to agree with it.
        limits: of decoding.
        on_picture: called after each file.

    Raises:
        PolicyError: the policy is for another model.
    """
    for engine in (reference, candidate):
        policy.require_model(engine.identity)
    pairs: list[tuple[_Scored, _Scored]] = []
    disagreements: list[Disagreement] = []
    skipped = 0
    for picture in pictures:
        pixels = _views(picture, reference.identity.image_size_px, limits)
        if pixels is None:
            skipped += 1
        else:
            scored = _score(reference, policy, pixels), _score(candidate, policy, pixels)
            pairs.append(scored)
            if scored[0].judgement.verdict is not scored[1].judgement.verdict:
                disagreements.append(Disagreement(picture.name, *(_side(each.judgement) for each in scored)))
        on_picture()
    return Comparison(
        pictures=len(pairs),
        skipped=skipped,
        disagreements=tuple(disagreements),
        cosines=_difference([(one.cosines, other.cosines) for one, other in pairs]),
        concepts={
            concept.name: _difference([(one.concepts[:, column], other.concepts[:, column]) for one, other in pairs])
            for column, concept in enumerate(policy.concepts)
        },
        # The median: the first passes of each size prepare for it.
        reference_s=float(np.median([one.seconds for one, _ in pairs])) if pairs else 0.0,
        candidate_s=float(np.median([other.seconds for _, other in pairs])) if pairs else 0.0,
    )


def outcomes(engine: Engine, pictures: Sequence[NDArray[np.uint8]], policy: Policy | None) -> Iterator[Verdict | int]:
    """What an engine says of each picture: the policy's verdict; without a policy, the label of the highest cosine.

    Args:
        engine: was made with the policy's labels.
        pictures: the views of each, uint8, ``(views, size_px, size_px, 3)``.
        policy: judges the scores.

    Raises:
        PolicyError: the policy is for another model.
    """
    if policy is not None:
        policy.require_model(engine.identity)
    for start in range(0, len(pictures), _PICTURES_AT_ONCE):
        together = pictures[start : start + _PICTURES_AT_ONCE]
        ends = np.cumsum([len(views) for views in together])
        views = [view for picture in together for view in picture]
        for cosines in np.split(encode(engine, views), ends[:-1]):
            if policy is None:
                yield int(cosines.max(axis=0).argmax())
            else:
                yield evaluate(policy, LabelScores(cosines, engine.logit_scale, engine.identity)).verdict


def views_of(pictures: Iterable[Path], size_px: int, limits: MediaLimits) -> Iterator[NDArray[np.uint8]]:
    """The views of each picture, the whole frame first. Files that are no pictures are left out."""
    for picture in pictures:
        pixels = _views(picture, size_px, limits)
        if pixels is not None:
            yield pixels


def _views(picture: Path, size_px: int, limits: MediaLimits) -> NDArray[np.uint8] | None:
    try:
        return preprocess(picture.read_bytes(), size_px, limits, Deadline.after(_DECODE_DEADLINE_S)).pixels
    except (UnscannedError, OSError):
        return None


def _score(engine: Engine, policy: Policy, pixels: NDArray[np.uint8]) -> _Scored:
    start_s = time.perf_counter()
    cosines = encode(engine, list(pixels))
    seconds = time.perf_counter() - start_s
    scores = LabelScores(cosines, engine.logit_scale, engine.identity)
    return _Scored(evaluate(policy, scores), cosines, concept_scores(policy, scores), seconds)


def _side(judgement: Judgement) -> Side:
    return Side(judgement.verdict, judgement.rule, judgement.margin)


def _difference(pairs: list[tuple[NDArray[np.floating], NDArray[np.floating]]]) -> Difference:
    if not pairs:
        return Difference(0.0, 0.0)
    apart = np.concatenate([np.abs(one - other).ravel() for one, other in pairs])
    return Difference(float(apart.max()), float(apart.mean()))
