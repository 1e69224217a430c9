"""Thresholds under a budget: the guarantee holds for any distribution of margins, and is never looked at too early."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.calibration.fitting import fit, holding, nearest, needed_margin, plan
from serve_app.calibration.margins import FloatArray

quick = settings(max_examples=100, deadline=None, derandomize=True)
MARGINS = st.lists(st.floats(-2, 2, allow_nan=False), min_size=1, max_size=40).map(np.array)

DRAWS = 10_000


def test_the_plan_needs_no_score() -> None:
    enough = plan(2000, 0.005)
    assert (enough.allowed, enough.missing) == (4, 0)
    assert enough.bound == pytest.approx(0.0045709, abs=1e-7)
    few = plan(500, 0.005)
    assert (few.allowed, few.missing) == (None, 98)


@quick
@given(MARGINS, st.integers(0, 39))
def test_no_more_pictures_are_over_the_line_than_are_allowed_and_a_step_less_would_be_too_little(
    margins: FloatArray, allowed: int
) -> None:
    allowed = min(allowed, len(margins) - 1)
    needed = needed_margin(margins, allowed)
    assert holding(margins, float(needed)) <= allowed
    assert holding(margins, float(needed - 2 * Decimal("0.000001"))) > allowed


def test_pictures_that_can_never_be_over_a_line_leave_it_where_it_is() -> None:
    assert needed_margin(np.array([0.5, -math.inf, -math.inf]), allowed=1) == 0


GROUPS = [("a", "b"), ("c",)]
GROUP_MARGINS = {name: np.array([value, -1.0]) for name, value in {"a": 0.1, "b": 0.3, "c": -0.2}.items()}


@pytest.mark.parametrize(("may_lower", "moved_c"), [(False, 0.0), (True, -0.2)])
def test_a_group_moves_by_what_needs_most_and_down_only_if_it_may(may_lower: bool, moved_c: float) -> None:
    moved = fit(GROUP_MARGINS, GROUPS, allowed=0, may_lower=may_lower)
    assert {name: float(by) for name, by in moved.items()} == pytest.approx(
        {"a": 0.3, "b": 0.3, "c": moved_c}, abs=1e-5
    )


@quick
@given(MARGINS, st.integers(0, 39))
def test_no_rule_holds_for_more_pictures_than_before_unless_it_may(margins: FloatArray, allowed: int) -> None:
    allowed = min(allowed, len(margins) - 1)
    by = float(fit({"a": margins}, [("a",)], allowed)["a"])
    assert holding(margins, by) <= min(holding(margins), allowed)


def test_the_nearest_pictures_are_those_on_either_side_of_the_line() -> None:
    assert nearest(np.array([0.5, 0.125, -0.25, 0.3]), 0.2, 3) == [1, 3, 0]


@pytest.mark.parametrize("pictures", [598, 2000])
@pytest.mark.parametrize("distribution", ["logistic", "heavy", "tied"])
def test_the_bound_holds_in_at_least_945_of_1000_draws(pictures: int, distribution: str) -> None:
    """Draw pictures, calibrate on them, and look up the true rate of false positives beyond the new line.

    The line without a lower bound, and that of a rule whose thresholds only rise, from a place where some draws have
    room and some have not.
    """
    generator, budget = np.random.default_rng(15), 0.005
    allowed = plan(pictures, budget).allowed
    assert allowed is not None
    start = float(quantile(distribution, np.array([1 - budget / 2]))[0])
    held = held_without_lowering = 0
    for _ in range(DRAWS):
        uniform = generator.random(pictures)  # the share of all pictures that are further under the line
        line = float(needed_margin(quantile(distribution, uniform), allowed))
        held += rate_over(distribution, line) <= budget
        held_without_lowering += rate_over(distribution, max(line, start)) <= budget
    assert held / DRAWS >= 0.945
    assert held_without_lowering >= held


def quantile(distribution: str, uniform: FloatArray) -> FloatArray:
    match distribution:
        case "logistic":
            margins: FloatArray = np.log(uniform / (1 - uniform)) / 10 - 0.5
        case "heavy":
            margins = (1 - uniform) ** -0.5 - 2
        case _:
            margins = np.floor(uniform * 1000) / 1000 - 1
    return margins


def rate_over(distribution: str, line: float) -> float:
    """The share of all pictures whose margin is larger than ``line``."""
    match distribution:
        case "logistic":
            return 1 / (1 + math.exp(10 * (line + 0.5)))
        case "heavy":
            return (line + 2) ** -2
        case _:
            return sum(step / 1000 - 1 > line for step in range(1000)) / 1000
