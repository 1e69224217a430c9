"""The knee, and the bare pass that efficiency is measured against."""

from __future__ import annotations

import pytest

from benchmarks.bare_pass import MAX_BATCH_VIEWS, agreement, best_of, sustained_rates
from benchmarks.knee import Step, knee
from benchmarks.load import Load
from benchmarks.outcomes import NO_ANSWER, Outcome
from benchmarks.statistics import Latencies
from serve_app.clip.fake import FakeEngine


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


def test_the_bare_pass_is_measured_at_each_batch_size() -> None:
    rates = sustained_rates(FakeEngine(["a label"]), duration_s=0.0)
    assert max(rates) <= MAX_BATCH_VIEWS
    assert 1 in rates
    assert all(rate > 0 for rate in rates.values())


def test_two_bare_passes_agree_by_their_best_rates() -> None:
    assert agreement({1: 10.0, 2: 20.0}, {1: 25.0, 2: 3.0}) == agreement({1: 25.0}, {1: 20.0}) == 0.8


def test_the_best_batch_of_either_measurement_counts() -> None:
    assert best_of({1: 10.0, 32: 90.0}, {1: 11.0, 32: 80.0}) == (32, 90.0)
    assert best_of({1: 10.0}, {1: 12.0, 2: 11.0}) == (1, 12.0)
