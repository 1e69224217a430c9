"""Serve's own autoscaler on a simulated clock, with both policies."""

from pathlib import Path

import pytest
import yaml

from benchmarks.autoscaler_comparison import Scenario, play, policies, scenarios
from benchmarks.demand import step
from benchmarks.fleet import FleetSettings
from benchmarks.serve_autoscaler import ServeAutoscaler, SimulatedTime, serve_runs_on
from deployments.autoscaling.replica_stats import ReplicaStats

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning")

DEVICE = FleetSettings({1: 0.05, 4: 0.1}, 8.0, 1024, 20.0, 0.1)


@pytest.fixture
def scaling():
    deployments = yaml.safe_load((ROOT / "serve_config.yaml").read_text("utf-8"))["applications"][0]["deployments"]
    return next(each["autoscaling_config"] for each in deployments if each["name"] == "ClipScorer")


class Steady:
    """A replica that always tells the same."""

    def __init__(self, ongoing, stats):
        self.ongoing = ongoing
        self._stats = stats

    def stats(self):
        return self._stats.as_metrics()


def turns(config, replica, duration_s):
    """Targets by moment, of one running replica."""
    clock = SimulatedTime()
    targets = {}
    with serve_runs_on(clock):
        autoscaler = ServeAutoscaler(config, clock)
        began_s = clock.now_s
        for turn in range(round(duration_s / 0.1)):
            clock.now_s = began_s + turn * 0.1
            targets[round(turn * 0.1, 1)] = autoscaler.turn({0: replica})
    return targets


def test_serves_own_policy_counts_and_waits_for_its_delay():
    config = {"min_replicas": 1, "max_replicas": 10, "target_ongoing_requests": 8, "upscale_delay_s": 5}
    targets = turns(config, Steady(32, ReplicaStats(0.0, 0.0, 0.0, 8.0)), 8.0)
    assert (targets[4.5], targets[7.9]) == (1, 4)


def test_the_queue_delay_policy_gets_what_replicas_report(scaling):
    targets = turns(scaling | {"max_replicas": 16}, Steady(1, ReplicaStats(1.0, 2.0, 0.02, 8.0)), 8.0)
    assert (targets[0.5], targets[7.9]) == (1, 3)
    at_least = min(moment for moment, target in targets.items() if target == 3)
    assert at_least == pytest.approx(scaling["upscale_delay_s"], abs=0.2)


def test_the_file_is_compared_with_serves_own_policy_in_the_same_settings(scaling):
    before, count, ours = policies(scaling, [4], 16)
    assert "policy" not in before.config
    assert "policy" not in count.config
    assert count.config["target_ongoing_requests"] == 4
    assert ours.config == scaling | {"max_replicas": 16}
    assert count.config["metrics_interval_s"] == scaling["metrics_interval_s"]


def test_loads_are_multiples_of_what_a_replica_does():
    stepped, daily = scenarios(picture_s=0.02)
    assert (stepped.rate(0.0), stepped.rate(200.0)) == pytest.approx((25.0, 250.0))
    assert daily.rate(daily.duration_s / 2) == pytest.approx(daily.most_per_s)


def test_a_constant_load_does_not_make_the_number_flap(scaling):
    steady = Scenario("steady", "", step(60.0, 60.0, 0.0), 60.0, 900.0)
    (ours,) = policies(scaling | {"downscale_delay_s": 60}, [], 16)[-1:]
    targets = [moment.target for moment in play(steady, ours, DEVICE, seed=3).moments if moment.at_s > 120.0]
    assert len(set(targets)) == 1


def test_a_step_is_answered_with_enough_replicas_and_no_more(scaling):
    stepped = Scenario("step", "", step(20.0, 120.0, 30.0), 120.0, 200.0)
    outcome = play(stepped, policies(scaling, [], 16)[-1], DEVICE, seed=3)
    assert 3 < outcome.moments[-1].running <= 6
    again = play(stepped, policies(scaling, [], 16)[-1], DEVICE, seed=3)
    assert (again.answered_s, again.refused) == (outcome.answered_s, outcome.refused)
