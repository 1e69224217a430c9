"""What the versions of the upgrade are, without a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.outcomes import Load
from benchmarks.recovery import Struck
from benchmarks.upgrade import Version, came_up, other_code, other_policy
from deployments.environment_check import read_args_for_ray
from serve_app.policy import load_policy

LEDGER = "postgresql://pictwarden@/pictwarden?host=/tmp"


@pytest.mark.parametrize("more", [0, 1])
def test_a_version_is_serve_config_with_as_many_replicas(more: int) -> None:
    version = Version(more=more)
    config = version.configuration(7003, LEDGER)
    (application,) = config["applications"]
    settings, policies = read_args_for_ray(application["args"])
    assert (settings.preset, settings.ledger, policies.of_service.name) == ("demo", LEDGER, "demo-red-triangle")
    counts = {
        each["name"]: each.get("num_replicas") or each["autoscaling_config"]["max_replicas"]
        for each in application["deployments"]
    }
    assert counts == version.replicas()
    assert {each["max_surge_percent"] for each in application["deployments"]} == {100}
    assert "runtime_env" not in application


def test_the_other_policy_wants_a_label_that_the_first_does_not_know(tmp_path: Path) -> None:
    (application,) = Version(other_policy(tmp_path)).configuration(7003, LEDGER)["applications"]
    _, policies = read_args_for_ray(application["args"])
    assert set(policies.of_service.labels) - set(load_policy("shipped:demo-red-triangle").labels) == {"an arrow"}


@pytest.mark.parametrize("commit", [None, "HEAD"])
def test_the_other_code_is_before_all_others_on_the_path(tmp_path: Path, commit: str | None) -> None:
    folder = other_code(tmp_path / "code", commit)
    assert (folder / "serve_app" / "wire.py").is_file()
    assert (folder / "deployments" / "graph.py").is_file()
    (application,) = Version(code=folder).configuration(7003, LEDGER)["applications"]
    assert application["runtime_env"]["env_vars"]["PYTHONPATH"] == str(folder)


@pytest.mark.parametrize(("whole_after_s", "holds"), [(60.0, True), (85.0, False), (None, False)])
def test_a_change_has_to_be_carried_out_while_the_load_lasts(whole_after_s: float | None, holds: bool) -> None:
    check = came_up(Struck(Load(name="other code"), 8.0, whole_after_s))
    assert (check.claim, check.holds) == ("other code: all of it runs after", holds)
