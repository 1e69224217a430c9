"""Whether two workers scored the same views alike, however precisely each of them computes.

The tolerances come from what honest engines do. Measured over drawn views, against torch in float32, with eleven
prompts (two cores of a CPU; bf16 on an H100 lies below it):

======================  ==================  ==================  ==================  ================
model                   bf16, torch         bf16, OpenVINO      int8, OpenVINO      another picture
======================  ==================  ==================  ==================  ================
demo-shapes             0.012 (0.01)        0.005 (0.01)        0.29 (0.19)         0.83 (1.5)
random:ViT-B-32         0.0010 (0.02)       0.0012 (0.02)       0.0024 (0.04)       0.09 (1.4)
random:ViT-B-16         0.0015 (0.01)       0.0011 (0.01)       0.0025 (0.02)       0.17 (1.5)
a small MobileNet       0.041 (0.25)        not measured        0.018 (0.18)        0.20 (1.4)
======================  ==================  ==================  ==================  ================

Each is the largest difference of a score, and in brackets the root mean square of all differences as a share of how
much the scores vary from view to view; bf16 of the MobileNet against its int8 has 0.30. An answer that is the same for
all views has a share of 1.0 at least, one with shuffled labels 1.0 to 4.9. So scores that are close number by number
agree at once; others are told apart by the share, over enough views.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import LabelScores, is_head, output_of

ENOUGH_VIEWS: Final = 24
"""Of which a share is taken: over so many, the largest of honest engines and the smallest of others lie apart."""

_MOST_SHARE: Final = 0.7
"""In 3,000 draws of 24 views for each model, the largest of an honest pair was 0.48 and the smallest of others 0.98."""

_CLOSE_COSINES: Final = 0.012
"""The largest difference of bf16 for the demo model was 0.0116, over 400 views."""

_CLOSE_PROBABILITIES: Final = 0.05
_ROOM: Final = 2.0
_FLOOR: Final = 0.25
"""Of what is close, as a root mean square: scores that hardly vary are not told apart by less."""

_LOGIT_SCALE_SHARE: Final = 0.01
_COSINES: Final = "prompts"
_HEADS: Final = "heads"

_LEAST_PROBABILITY: Final = 1e-7
"""Of a head, from which its logit is taken: float32 cannot tell less from 0 to 1."""

_CLOSE_LOGITS: Final = 4 * _CLOSE_PROBABILITIES
"""The slope of a logistic function is a quarter at most."""


class Agreement(enum.Enum):
    """What scores of the same views say of two workers."""

    AGREES = enum.auto()
    DIFFERS = enum.auto()
    UNDECIDED = enum.auto()
    """More views are needed."""


class Evidence:
    """Scores of the same views by two who should agree."""

    def __init__(self, labels: Sequence[str]) -> None:
        """``labels`` are those of the columns."""
        self._kinds = _columns_by_kind(labels)
        self._references: list[NDArray[np.float32]] = []
        self._answers: list[NDArray[np.float32]] = []
        self._flaw: str | None = None
        self._apart = 0.0

    def add(self, reference: LabelScores, answer: LabelScores) -> None:
        """One picture's scores by each."""
        expected, values = reference.values, answer.values
        if expected.shape != values.shape:
            self._flaw = f"{values.shape} scores, not {expected.shape}"
            return
        if not np.isclose(reference.logit_scale, answer.logit_scale, rtol=_LOGIT_SCALE_SHARE, atol=0):
            self._flaw = f"a logit scale of {answer.logit_scale:.4g}, not {reference.logit_scale:.4g}"
        elif (np.isnan(expected) != np.isnan(values)).any():
            self._flaw = "other scores are unknown"
        self._references.append(expected)
        self._answers.append(values)
        for kind, columns in self._kinds.items():
            apart = np.abs(expected[:, columns] - values[:, columns])
            self._apart = max(self._apart, float(np.fmax.reduce(apart, axis=None, initial=0.0)) / _close(kind))

    @property
    def views(self) -> int:
        """How many were compared, faces included."""
        return sum(map(len, self._answers))

    @property
    def is_close(self) -> bool:
        """Whether every score is as two honest engines in bf16 would have it."""
        return self._flaw is None and self._apart <= 1

    @property
    def is_close_enough(self) -> bool:
        """As :attr:`is_close`, with room for the rare picture on which such engines differ by more."""
        return self._flaw is None and self._apart <= _ROOM

    @property
    def share(self) -> float:
        """The differences as a share of the variation of the scores, for the kind of labels where it is largest.

        0 is identical; without a relation between the two it is 1 and more. Where scores hardly vary, so much as would
        be close counts as their variation.
        """
        if not self._answers:
            return 0.0
        expected, values = np.concatenate(self._references), np.concatenate(self._answers)
        return max(
            (_share_of(kind, expected[:, columns], values[:, columns]) for kind, columns in self._kinds.items()),
            default=0.0,
        )

    @property
    def largest_difference(self) -> float:
        """Of a single score."""
        apart = [np.abs(a - b) for a, b in zip(self._references, self._answers, strict=True)]
        return max((float(np.nanmax(each, initial=0.0)) for each in apart), default=0.0)

    @property
    def agreement(self) -> Agreement:
        """What is known by now."""
        if self._flaw is not None:
            return Agreement.DIFFERS
        if not self._answers:
            return Agreement.UNDECIDED
        if self.is_close:
            return Agreement.AGREES
        if self.views < ENOUGH_VIEWS:
            return Agreement.UNDECIDED
        return Agreement.AGREES if self.share <= _MOST_SHARE else Agreement.DIFFERS

    @property
    def difference(self) -> str:
        """How the two differ, for people."""
        if self._flaw is not None:
            return self._flaw
        return (
            f"scores of {self.views} views that are up to {self.largest_difference:.3f} apart, "
            f"{self.share:.0%} of what they vary by"
        )


def is_constant(scores: Sequence[LabelScores]) -> bool:
    """Whether all views of these pictures have the same scores: no model with weights does that."""
    values = np.concatenate([each.values for each in scores])
    return len(values) > 1 and bool((np.ptp(values, axis=0) <= 0).all())


def _columns_by_kind(labels: Sequence[str]) -> Mapping[str, NDArray[np.intp]]:
    kinds: dict[str, list[int]] = {}
    for column, label in enumerate(labels):
        output = output_of(label)
        kind = _COSINES if output is None and not is_head(label) else output[0] if output else _HEADS
        kinds.setdefault(kind, []).append(column)
    return {kind: np.array(columns) for kind, columns in kinds.items()}


def _close(kind: str) -> float:
    return _CLOSE_COSINES if kind == _COSINES else _CLOSE_PROBABILITIES


def _share_of(kind: str, expected: NDArray[np.float32], values: NDArray[np.float32]) -> float:
    """Heads are compared by their logits: these vary as cosines do, however steep a head is."""
    if kind == _HEADS:
        return _share(_logits(expected), _logits(values), _CLOSE_LOGITS)
    return _share(expected, values, _close(kind))


def _logits(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    inside = np.clip(probabilities.astype(np.float64), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _share(expected: NDArray[np.floating], values: NDArray[np.floating], close: float) -> float:
    known = ~np.isnan(expected).any(axis=1) & ~np.isnan(values).any(axis=1)
    if not known.any():
        return 0.0
    expected, values = expected[known].astype(np.float64), values[known].astype(np.float64)
    apart = np.sqrt(np.mean((expected - values) ** 2))
    varies = np.sqrt(np.mean((expected - expected.mean(axis=0)) ** 2))
    return float(apart / max(varies, close * _FLOOR / _MOST_SHARE))
