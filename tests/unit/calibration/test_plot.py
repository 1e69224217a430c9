"""The plot of a calibration: the axis that a reader thinks in, and a bounded amount of work."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from serve_app.calibration import plot
from serve_app.calibration.binomial import upper_bound
from serve_app.calibration.plot import Curve, bounds_of, save_plot
from serve_app.policy import PolicyText

POLICY = """\
policy: nsfw
concepts:
  sexual: {score: classifier, model: open-nsfw, output: nsfw}
rules:
  - {name: refuse, verdict: reject, when: {concept: sexual, above: 0.8}}
  - {name: tame, verdict: flag, when: {not: {concept: sexual, above: 0.25}}}
  - {name: between, verdict: flag, when: {all: [{concept: sexual, above: 0.5}, {concept: sexual, above: 0.6}]}}
"""
MARGINS = np.linspace(-0.5, 0.125, 400)


@pytest.fixture(autouse=True)
def needs_matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra calibrate")


def drawn(file: Path, rule: str) -> str:
    """The plot of one rule. Every text that is drawn stands in it as a comment."""
    threshold = PolicyText(POLICY, "p.yaml").only_threshold(rule)
    save_plot(file, [Curve(rule, MARGINS, 0.0625, threshold)], 0.05, 0.95)
    return file.read_text("utf-8")


@pytest.mark.parametrize(("rule", "number", "rises"), [("refuse", "0.8", True), ("tame", "0.25", False)])
def test_a_rule_of_one_threshold_is_plotted_against_it(tmp_path: Path, rule: str, number: str, rises: bool) -> None:
    threshold = PolicyText(POLICY, "p.yaml").only_threshold(rule)
    assert threshold is not None
    assert (threshold.number, threshold.rises) == (Decimal(number), rises)
    assert "<!-- threshold -->" in drawn(tmp_path / "a.svg", rule)


def test_a_rule_of_several_thresholds_has_the_move_alone(tmp_path: Path) -> None:
    assert "<!-- threshold -->" not in drawn(tmp_path / "a.svg", "between")


def test_a_large_budget_takes_no_more_than_200_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(count: int, trials: int, confidence: float) -> float:
        asked.append(count)
        return upper_bound(count, trials, confidence)

    monkeypatch.setattr(plot, "upper_bound", counted)
    counts = np.arange(1000, -1, -1, dtype=np.float64)
    bounds = bounds_of(counts, 2000, 0.95)
    assert len(asked) <= 200
    assert {0, 1000} <= set(asked)
    for count, bound in list(zip(counts, bounds, strict=True))[::50]:
        exact = upper_bound(int(count), 2000, 0.95)
        assert exact <= bound <= exact + 0.005
