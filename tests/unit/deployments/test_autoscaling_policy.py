"""The policy as Serve calls it: with Serve's own context, and through Serve's own configuration."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ray.serve._private.autoscaling_state import _resolve_policy_callable
from ray.serve._private.common import DeploymentID, ReplicaID, TimeStampedValue
from ray.serve.config import AutoscalingConfig, AutoscalingContext
from ray.serve.schema import ServeDeploySchema

from deployments.autoscaling.policy import QueueDelayPolicy
from deployments.autoscaling.replica_stats import ReplicaStats
from deployments.graph import build_app

ROOT = Path(__file__).parents[3]
DEPLOYMENT = DeploymentID(name="ClipScorer", app_name="pictwarden")

# Serve 2.60 announces environment variables in its place, and does not read them yet.
pytestmark = pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning")

BUSY = ReplicaStats(predicted_wait_s=7.5, offered_work=2.5, picture_s=0.02, deadline_s=8.0)
IDLE = ReplicaStats(predicted_wait_s=0.0, offered_work=0.1, picture_s=0.02, deadline_s=8.0)


def context(reports, *, now_s=100.0, stamp_s=99.0, target=None, queued=0.0, state=None, most=16):
    """``reports``: a replica's figures by its name; None for one that has not reported."""
    ids = {name: ReplicaID(name, DEPLOYMENT) for name in reports}
    raw: dict[str, dict[ReplicaID, list[TimeStampedValue]]] = {}
    for name, stats in reports.items():
        for figure, value in (stats.as_metrics() if stats else {}).items():
            old = TimeStampedValue(stamp_s - 2, 0.0)
            raw.setdefault(figure, {})[ids[name]] = [old, TimeStampedValue(stamp_s, value)]
    return AutoscalingContext(
        deployment_id=DEPLOYMENT,
        deployment_name=DEPLOYMENT.name,
        app_name=DEPLOYMENT.app_name,
        current_num_replicas=len(reports),
        target_num_replicas=len(reports) if target is None else target,
        running_replicas=list(ids.values()),
        total_num_requests=0.0,
        total_queued_requests=queued,
        aggregated_metrics=None,
        raw_metrics=lambda: raw,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=most,
        policy_state=state or {},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=now_s,
        config=AutoscalingConfig(min_replicas=1, max_replicas=most),
    )


def test_the_newest_figures_of_all_replicas_are_added_up():
    wanted, _ = QueueDelayPolicy()(context({"a": BUSY, "b": BUSY}))
    assert wanted == 8  # 5.0 of load at 0.9, and 13 s beyond the accepted delay within 8 s


def test_the_bounds_of_the_configuration_hold():
    wanted, _ = QueueDelayPolicy()(context({"a": BUSY, "b": BUSY}, most=4))
    assert wanted == 4


def test_what_waits_in_front_of_the_replicas_is_their_work():
    calm = ReplicaStats(predicted_wait_s=0.0, offered_work=0.8, picture_s=0.1, deadline_s=8.0)
    assert QueueDelayPolicy()(context({"a": calm}))[0] == 1
    assert QueueDelayPolicy()(context({"a": calm}, queued=250.0))[0] == 4  # 25 s of work


def test_a_replica_that_has_just_come_keeps_the_others_from_going():
    assert QueueDelayPolicy()(context({"a": IDLE, "b": IDLE, "c": None}))[0] == 3
    assert QueueDelayPolicy()(context({"a": IDLE, "b": IDLE, "c": IDLE}))[0] == 1


def test_without_any_report_the_target_stays():
    assert QueueDelayPolicy()(context({"a": None}, target=3))[0] == 3
    assert QueueDelayPolicy()(context({}, target=2))[0] == 2


def test_a_report_that_is_not_renewed_is_no_report_by_the_controllers_clock():
    policy = QueueDelayPolicy(stale_after_s=10)
    reports = {"a": IDLE, "b": IDLE}
    # The replicas' clocks are an hour behind: that alone makes no report old.
    wanted, state = policy(context(reports, now_s=4000.0, stamp_s=400.0))
    assert wanted == 1
    wanted, state = policy(context(reports, now_s=4009.0, stamp_s=400.0, state=state))
    assert wanted == 1
    wanted, state = policy(context(reports, now_s=4011.0, stamp_s=400.0, state=state))
    assert wanted == 2
    wanted, state = policy(context(reports, now_s=4012.0, stamp_s=412.0, state=state))
    assert wanted == 1


def test_what_is_remembered_of_a_replica_goes_with_it():
    policy = QueueDelayPolicy()
    _, state = policy(context({"a": IDLE, "b": IDLE}))
    _, state = policy(context({"b": IDLE}, state=state))
    assert [*state["reports"]] == ["b"]


def test_an_unknown_setting_is_refused():
    with pytest.raises(TypeError, match="delay_shar"):
        QueueDelayPolicy(delay_shar=0.1)


def deployments():
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text("utf-8"))
    ServeDeploySchema.model_validate(config)
    return {each["name"]: each for each in config["applications"][0]["deployments"]}


@pytest.mark.parametrize("name", ["Preprocessor", "ClipScorer"])
def test_serve_makes_the_policy_that_the_file_names(name):
    config = AutoscalingConfig.model_validate(deployments()[name]["autoscaling_config"])
    policy = _resolve_policy_callable(config.policy)
    # Serve has pickled the class by value: it is equal in name, and no longer the same.
    assert type(policy).__qualname__ == QueueDelayPolicy.__qualname__
    assert policy(context({"a": BUSY, "b": BUSY}))[0] == 8


def test_the_deadline_stands_in_the_arguments_of_the_application_and_nowhere_else():
    text = (ROOT / "serve_config.yaml").read_text("utf-8")
    assert [line.strip() for line in text.splitlines() if "deadline_s:" in line] == ["deadline_s: 8.0"]
    assert yaml.safe_load(text)["applications"][0]["args"]["deadline_s"] == 8.0


def test_the_deadline_is_the_one_that_replicas_report():
    hurried = replace(BUSY, deadline_s=2.0)
    # 5.0 of load at 0.9, and 14.5 s beyond the accepted delay within 2 s; of two deadlines the shorter one holds.
    assert QueueDelayPolicy()(context({"a": hurried, "b": hurried}))[0] == 13
    assert QueueDelayPolicy()(context({"a": hurried, "b": BUSY}))[0] == 13


def test_each_stage_is_built_with_the_deadline_of_the_application():
    ingress = build_app({"deadline_s": 3.5})._bound_deployment
    preprocessor, scorer = (each._bound_deployment for each in list(ingress.init_args)[2:4])
    assert 3.5 in preprocessor.init_args
    assert 3.5 in scorer.init_args


def test_ingress_replicas_are_fixed():
    ingress = deployments()["Ingress"]
    assert "autoscaling_config" not in ingress
    assert ingress["num_replicas"] == 2
