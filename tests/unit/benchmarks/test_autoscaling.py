"""The simulation of replicas that follow a load, with both policies, and the command from its options to its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from benchmarks import autoscaling
from benchmarks.autoscaling import CONFIG, STEP_S, Device, Scaler, Scenario, scenarios, simulate
from deployments.autoscaling.replica_stats import ReplicaStats

DEVICE = Device({1: 0.05, 4: 0.1}, start_s=5.0, deadline_s=8.0)


@pytest.fixture
def scaling() -> dict[str, Any]:
    deployments = yaml.safe_load(CONFIG.read_text("utf-8"))["applications"][0]["deployments"]
    found = next(each["autoscaling_config"] for each in deployments if each["name"] == "ClipScorer")
    return {**found, "max_replicas": 16}


def targets(scaler: Scaler, stats: ReplicaStats, ongoing: float, duration_s: float) -> list[int]:
    """At each turn, of one running replica that always says the same."""
    return [scaler.turn(turn * STEP_S, {0: stats}, ongoing) for turn in range(round(duration_s / STEP_S))]


def test_serves_own_policy_counts_and_waits_for_its_delay(scaling: dict[str, Any]) -> None:
    scaler = Scaler({**scaling, "upscale_delay_s": 5}, ongoing_per_replica=8)
    seen = targets(scaler, ReplicaStats(0.0, 0.0, 0.0, 8.0), 32, 8.0)
    assert (seen[45], seen[79]) == (1, 4)


def test_the_queue_delay_policy_gets_what_replicas_report(scaling: dict[str, Any]) -> None:
    seen = targets(Scaler(scaling), ReplicaStats(1.0, 2.0, 0.02, 8.0), 1, 8.0)
    assert (seen[5], seen[79]) == (1, 3)


def test_an_idle_replica_answers_after_one_pass_and_costs_all_the_time(scaling: dict[str, Any]) -> None:
    quiet = Scenario("quiet", lambda _: 1.0, 20.0)
    of = simulate(quiet, Scaler(scaling), DEVICE, seed=1)
    assert of.refused == 0
    assert of.replica_s == pytest.approx(20.0)
    assert min(of.answered_s) == pytest.approx(0.05)
    assert max(of.answered_s) <= 0.1


def test_pictures_that_could_not_be_in_time_are_refused(scaling: dict[str, Any]) -> None:
    of = simulate(Scenario("flood", lambda _: 400.0, 60.0), Scaler({**scaling, "max_replicas": 1}), DEVICE, seed=1)
    assert of.refused > 0.8 * 60 * (400 - 40)
    assert max(of.answered_s) <= 8.0 + 0.1


def test_a_constant_load_does_not_make_the_number_flap(scaling: dict[str, Any]) -> None:
    steady = Scenario("steady", lambda _: 60.0, 600.0)
    of = simulate(steady, Scaler({**scaling, "downscale_delay_s": 60}), DEVICE, seed=3)
    assert len({running for at_s, running in of.running if at_s > 120}) == 1


def test_a_step_is_answered_with_enough_replicas_and_no_more(scaling: dict[str, Any]) -> None:
    stepped = Scenario("step", lambda now_s: 20.0 if now_s < 30 else 120.0, 200.0)
    first, again = (simulate(stepped, Scaler(scaling), DEVICE, seed=3) for _ in range(2))
    assert 3 <= first.running[-1][1] <= 6
    assert first == again


def test_loads_are_multiples_of_what_a_replica_does() -> None:
    stepped, daily = scenarios(picture_s=0.02)
    assert (stepped.rate(0.0), stepped.rate(200.0)) == pytest.approx((25.0, 250.0))
    assert (daily.rate(0.0), daily.rate(daily.duration_s / 2)) == pytest.approx((15.0, 200.0))


@pytest.fixture
def short_load(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Scenario("short", lambda now_s: 20.0 if now_s < 10 else 60.0, 40.0)
    monkeypatch.setattr(autoscaling, "scenarios", lambda picture_s: [short])


@pytest.mark.usefixtures("short_load")
def test_each_policy_has_the_same_pictures_and_a_line_in_the_plot(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit) as ended:
        autoscaling.bench(out=tmp_path, count=[4.0], start_s=5.0, pass_ms="1:50,4:100")
    (path,) = tmp_path.glob("autoscaling-*.json")
    report = json.loads(path.read_text("utf-8"))
    (section,) = report["sections"]
    assert [row[0] for row in section["table"]["rows"]] == ["count 4", "queue delay"]
    assert len({row[1] for row in section["table"]["rows"]}) == 1
    assert set(section["plots"][0]["series"]) == {"count 4", "queue delay", "offered work, in replicas"}
    assert ended.value.exit_code == (0 if report["holds"] else 1)


def test_pass_times_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="1:6,8:15"):
        autoscaling.bench(pass_ms="fast", out=tmp_path)
