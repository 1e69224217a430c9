"""Replicas come when the queue-delay policy wants them: what they report reaches the policy in the controller."""

import itertools
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PATIENT_S = 60.0


@pytest.fixture(scope="module")
def config(fake_config):
    shipped = yaml.safe_load((ROOT / "serve_config.yaml").read_text("utf-8"))["applications"][0]["deployments"]
    policies = {each["name"]: each["autoscaling_config"]["policy"] for each in shipped if "autoscaling_config" in each}
    for deployment in fake_config["applications"][0]["deployments"]:
        if policy := policies.get(deployment["name"]):
            del deployment["num_replicas"]
            # The least of loads is too much for one replica.
            policy["policy_kwargs"] |= {"up_utilisation": 1e-6, "down_utilisation": 1e-6, "max_growth": 2}
            deployment["autoscaling_config"] = {
                "min_replicas": 1,
                "max_replicas": 2,
                "policy": policy,
                "metrics_interval_s": 0.5,
                "look_back_period_s": 2,
                "upscale_delay_s": 0,
            }
    return fake_config


@pytest.mark.parametrize("deployment", ["Preprocessor", "ClipScorer"])
def test_a_load_that_is_too_much_for_one_replica_brings_a_second(service, picture, deployment):
    give_up_s = time.monotonic() + PATIENT_S
    for height_px in itertools.count(40):
        assert service.scan(picture("blue", size=(64, height_px))).status_code == 200
        if len(service.replicas(deployment)) == 2:
            break
        assert time.monotonic() < give_up_s, "waited in vain"
