"""The rate of false positives against the move of a rule's thresholds, or its one threshold, as a picture (SVG).

The only module that imports matplotlib, which is an extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from serve_app.calibration.binomial import upper_bound
from serve_app.calibration.margins import FloatArray
from serve_app.policy import WrittenThreshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (8.0, 3.2)
_SHOWN_BUDGETS = 6
"""Rates up to so many times the budget are shown: the rest of the curve decides nothing."""

_MOST_BOUNDS = 200
"""A bound takes milliseconds, and a large budget shows thousands of counts."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One rule: its margins on the pictures, by how much its thresholds move, and its threshold if it has only one."""

    rule: str
    margins: FloatArray
    moved: float
    threshold: WrittenThreshold | None = None


def save_plot(file: Path, curves: Sequence[Curve], budget: float, confidence: float) -> None:
    """Draw one curve below the other.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    # Without pyplot, which would look for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_INCHES[0], _INCHES[1] * len(curves)), layout="constrained")
    for curve, axes in zip(curves, figure.subplots(len(curves), squeeze=False)[:, 0], strict=True):
        moves, counts = _steps(curve.margins, budget)
        pictures = len(curve.margins)
        axes.step(moves, 100 * counts / pictures, where="post", label="false positives")
        axes.step(
            moves,
            100 * bounds_of(counts, pictures, confidence),
            where="post",
            linestyle="--",
            label=f"upper bound, {100 * confidence:g} % confidence",
        )
        axes.axhline(100 * budget, color="grey", linewidth=0.8, label=f"budget, {100 * budget:g} %")
        axes.axvline(0.0, color="grey", linewidth=0.8, linestyle=":", label="thresholds as they were")
        axes.axvline(curve.moved, color="black", linewidth=0.8, label=f"moved by {curve.moved:+.6f}")
        axes.set_ylim(0, 100 * budget * _SHOWN_BUDGETS)
        axes.set_title(curve.rule)
        axes.set_xlabel("all thresholds of the rule moved by")
        if curve.threshold is not None:
            _add_thresholds(axes, curve.threshold)
        axes.set_ylabel("rate, %")
        axes.legend(fontsize="small")
    # Without a date, so that the same measurement gives the same file.
    figure.savefig(file, format="svg", metadata={"Date": None})


def _add_thresholds(axes: Axes, threshold: WrittenThreshold) -> None:
    """A second axis, of the threshold that stands in the policy after each move."""
    start, sign = float(threshold.number), 1 if threshold.rises else -1
    of_move, of_threshold = (lambda by: start + sign * by), (lambda moved: sign * (moved - start))
    axes.secondary_xaxis("top", functions=(of_move, of_threshold)).set_xlabel("threshold")


def bounds_of(counts: FloatArray, pictures: int, confidence: float) -> FloatArray:
    """The upper bound of each count's rate, or that of a larger count near it: never too low."""
    known = np.unique(counts)
    if len(known) > _MOST_BOUNDS:
        known = known[np.unique(np.linspace(0, len(known) - 1, _MOST_BOUNDS).round().astype(int))]
    bounds = np.array([upper_bound(int(count), pictures, confidence) for count in known])
    of_counts: FloatArray = bounds[np.searchsorted(known, counts)]
    return of_counts


def _steps(margins: FloatArray, budget: float) -> tuple[FloatArray, FloatArray]:
    """Moves, ascending, and how many pictures are over the line from each on; those with a rate that is shown."""
    finite = np.sort(margins[np.isfinite(margins)])
    shown = min(len(finite), int(len(margins) * budget * _SHOWN_BUDGETS) + 2)
    moves = finite[len(finite) - shown :]
    counts = np.arange(shown - 1, -1, -1, dtype=np.float64)
    # The ends of the picture, so that the thresholds as they were are always in it.
    low, high = min([0.0, *moves]), max([0.0, *moves])
    width = max(high - low, 0.01)
    return (
        np.array([*moves, high + 0.05 * width]),
        np.array([*counts, 0.0]),
    )
