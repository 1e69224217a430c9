"""The rate of false positives against the margin by which a rule's thresholds move, as a picture (SVG).

The only module that imports matplotlib, which is an extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serve_app.calibration.binomial import upper_bound
from serve_app.calibration.margins import FloatArray

_INCHES = (8.0, 3.2)
_SHOWN_BUDGETS = 6
"""Rates up to so many times the budget are shown: the rest of the curve decides nothing."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One rule: its margins on the pictures, and by how much its thresholds move."""

    rule: str
    margins: FloatArray
    moved: float


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
        # One bound for each count, since neighbouring steps of a large set share most of the work.
        bounds = {count: upper_bound(int(count), pictures, confidence) for count in np.unique(counts)}
        axes.step(moves, 100 * counts / pictures, where="post", label="false positives")
        axes.step(
            moves,
            [100 * bounds[count] for count in counts],
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
        axes.set_ylabel("rate, %")
        axes.legend(fontsize="small")
    # Without a date, so that the same measurement gives the same file.
    figure.savefig(file, format="svg", metadata={"Date": None})


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
