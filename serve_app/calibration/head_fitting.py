"""A head fitted to embeddings: logistic regression, chosen by cross-validation, its probabilities calibrated.

Each picture has as much weight as every other of its kind, and both kinds as much together. Of a picture that shows the
concept, one view is learned from, since other tiles and frames of it may not show it: first the view of the whole first
frame, and then the one that shows most of what was learned so. Of a picture that does not show it, every view. In all
measurements a picture has the highest score of its views, as in a policy. What is measured, and what calibrates, are
scores of folds that took no part in the fit that scored them.

Sources: linear probes of CLIP, Radford et al. 2021 (arXiv:2103.00020, appendix A.3); one view of several, MI-SVM of
Andrews et al. 2003 (NeurIPS 15); calibration, Platt 1999 (Advances in Large Margin Classifiers); the deviation of an
AUC, Hanley and McNeil 1982 (Radiology 143).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from serve_app.calibration.binomial import interval

FloatArray = NDArray[np.float64]

LEAST_OF_A_KIND = 20
"""Pictures with, and pictures without: with fewer, the intervals of both errors are wider than a third."""

_FOLDS = 5
_REGULARISATIONS = tuple(10.0**power for power in range(-1, 5))
"""Inverse strengths: an embedding has length one, so that useful weights are large."""

_DEVIATIONS = 3.0
"""An AUC that is less than so many standard deviations over one half may be chance: it is the best of six."""

_MAX_ITERATIONS = 2000
_SEED = 0


class InseparableError(Exception):
    """The pictures with the concept score no higher than those without, or so little that chance explains it."""


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """How many of ``pictures`` were judged wrongly, and both ends of the rate's interval of 95 %."""

    wrong: int
    pictures: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class FittedHead:
    """What was fitted, and what was measured of it.

    The probability is ``sigmoid(scale * cosine + bias)``, the cosine being that to ``direction``: float32,
    ``(width,)``, of length one.

    ``auc`` is the probability that a picture with the concept scores higher than one without. ``missed`` and
    ``mistaken`` are the errors at a threshold of one half. All three are of folds that were left out of the fit.
    """

    direction: NDArray[np.float32]
    scale: float
    bias: float
    auc: float
    missed: ErrorRate
    mistaken: ErrorRate


def fit_head(with_concept: Sequence[NDArray[np.float32]], without: Sequence[NDArray[np.float32]]) -> FittedHead:
    """The head that tells two kinds of pictures apart.

    Args:
        with_concept: the embeddings of each picture that shows the concept, the whole picture first: float32,
            ``(views, width)``, each row of length one.
        without: those of the pictures that do not show it.

    Raises:
        InseparableError: these embeddings do not tell them apart.
        ValueError: fewer than :data:`LEAST_OF_A_KIND` of either kind.
    """
    if min(len(with_concept), len(without)) < LEAST_OF_A_KIND:
        raise ValueError(f"a head needs {LEAST_OF_A_KIND} pictures of each kind")
    pictures = [*with_concept, *without]
    shows = np.arange(len(pictures)) < len(with_concept)
    scores = {strength: _left_out_scores(pictures, shows, strength) for strength in _REGULARISATIONS}
    # The strongest regularisation among equals.
    best = max(scores, key=lambda strength: (roc_auc_score(shows, scores[strength]), -strength))
    auc = float(roc_auc_score(shows, scores[best]))
    slope, offset = _calibrated(scores[best], shows)
    if slope <= 0 or auc - _DEVIATIONS * _auc_deviation(auc, len(with_concept), len(without)) <= 0.5:
        raise InseparableError
    weights, intercept = _fit(pictures, shows, np.arange(len(pictures)), best)
    length = float(np.linalg.norm(weights))
    over = slope * scores[best] + offset > 0
    return FittedHead(
        (weights / length).astype(np.float32),
        slope * length,
        slope * intercept + offset,
        auc,
        _rate(~over[shows]),
        _rate(over[~shows]),
    )


def _left_out_scores(pictures: Sequence[NDArray[np.float32]], shows: NDArray[np.bool_], strength: float) -> FloatArray:
    """The score of each picture by a fit that has not seen it."""
    scores = np.empty(len(pictures))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=_SEED)
    for seen, left_out in folds.split(shows, shows):
        weights, intercept = _fit(pictures, shows, seen, strength)
        for each in left_out:
            scores[each] = (pictures[each] @ weights + intercept).max()
    return scores


def _fit(
    pictures: Sequence[NDArray[np.float32]], shows: NDArray[np.bool_], seen: NDArray[np.intp], strength: float
) -> tuple[FloatArray, float]:
    # The view of the whole first frame stands first.
    chosen = {each: pictures[each][:1] for each in seen if shows[each]}
    weights, _ = _fit_to(pictures, chosen, shows, seen, strength)
    chosen = {each: pictures[each][[(pictures[each] @ weights).argmax()]] for each in chosen}
    return _fit_to(pictures, chosen, shows, seen, strength)


def _fit_to(
    pictures: Sequence[NDArray[np.float32]],
    chosen: Mapping[int, NDArray[np.float32]],
    shows: NDArray[np.bool_],
    seen: NDArray[np.intp],
    strength: float,
) -> tuple[FloatArray, float]:
    """Weights and intercept from the ``chosen`` view of each picture with the concept, and all views of the others."""
    learned = [chosen.get(each, pictures[each]) for each in seen]
    counts = [len(each) for each in learned]
    kinds = np.repeat(shows[seen], counts)
    shares = np.repeat([1 / count for count in counts], counts)
    for kind in (True, False):
        shares[kinds == kind] *= len(seen) / 2 / shares[kinds == kind].sum()
    regression = LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS)
    regression.fit(np.concatenate(learned), kinds, sample_weight=shares)
    return regression.coef_[0].astype(np.float64), float(regression.intercept_[0])


def _calibrated(scores: FloatArray, shows: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset that make a probability of a score, as if both kinds were equally frequent.

    Regularised, on scores of a deviation of one: where the kinds do not overlap, the likeliest slope has no end.
    """
    deviation = float(scores.std()) or 1.0
    regression = LogisticRegression(C=1.0, class_weight="balanced", max_iter=_MAX_ITERATIONS)
    regression.fit(scores[:, np.newaxis] / deviation, shows)
    return float(regression.coef_[0, 0]) / deviation, float(regression.intercept_[0])


def _auc_deviation(auc: float, showing: int, others: int) -> float:
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (showing - 1) * (first - auc**2) + (others - 1) * (second - auc**2)
    return math.sqrt(variance / (showing * others))


def _rate(is_wrong: NDArray[np.bool_]) -> ErrorRate:
    wrong, pictures = int(is_wrong.sum()), len(is_wrong)
    return ErrorRate(wrong, pictures, *interval(wrong, pictures))
