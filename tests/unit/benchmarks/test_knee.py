"""The knee: the highest load that was kept up with."""

from __future__ import annotations

import pytest

from benchmarks.knee import Step, knee
from benchmarks.load import Load
from benchmarks.outcomes import NO_ANSWER, Outcome
from benchmarks.statistics import Latencies


def step(offered_per_s: float, in_time_share: float) -> Step:
    return Step(offered_per_s, offered_per_s, in_time_share, Latencies([0.1]))


def test_the_knee_is_the_highest_load_that_was_kept_up_with() -> None:
    steps = [step(10, 1.0), step(20, 0.99), step(30, 0.98), step(40, 0.5)]
    assert knee(steps) is steps[1]


def test_a_load_above_one_that_was_too_much_does_not_count() -> None:
    steps = [step(10, 1.0), step(20, 0.9), step(30, 1.0)]
    assert knee(steps) is steps[0]


@pytest.mark.parametrize("steps", [[], [step(10, 0.98)]])
def test_there_may_be_no_knee(steps: list[Step]) -> None:
    assert knee(steps) is None


def test_a_step_is_what_a_load_came_to() -> None:
    seen = [Outcome(second, second, second + 0.5, 200, "accept", "policy") for second in range(1, 9)]
    slow = Outcome(9, 9, 11, 200, "accept", "policy")
    refused = Outcome(9.5, 9.5, 9.6, 503, None, "overloaded")
    lost = Outcome(10, 10, 40, NO_ANSWER)
    of = Step.of(Load(outcomes=[*seen, slow, refused, lost], window_s=10.0, elapsed_s=40.0), within_s=1.0)
    assert (of.offered_per_s, of.in_time_share) == (1.1, pytest.approx(8 / 11))
    assert of.looked_at_per_s == pytest.approx(8 / 9)
    assert of.latencies.count == 10
