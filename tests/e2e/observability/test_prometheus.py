"""The examples for Prometheus and Grafana beside a running service: every metric that they name is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.observability.conftest import EXAMPLES, Prometheus, program
from tests.serve.conftest import ONE_PROCESS, Service, wait_for

pytestmark = pytest.mark.slow

OF_A_SLOW_MACHINE = {"PictwardenSlow", "PictwardenUnscanned", "PictwardenFull"}
"""Pending for a moment, where other tests take the cores."""
ON_RAY_ALONE = {"pictwarden_snapshot_age_seconds"}
OF_WORKERS = {"pictwarden_workers_absent_seconds", "pictwarden_fallback_scoring", "pictwarden_workers_doubted_total"}
"""The models of the service compute in it."""

DASHBOARD = json.loads((EXAMPLES / "grafana" / "dashboards" / "pictwarden.json").read_text("utf-8"))
RULES = [
    rule for group in yaml.safe_load((EXAMPLES / "rules.yml").read_text("utf-8"))["groups"] for rule in group["rules"]
]
EXPRESSIONS = [
    *(rule["expr"] for rule in RULES),
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
]


def promtool(*arguments: str | Path, cwd: Path) -> None:
    done = subprocess.run([program("promtool"), *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_and_the_rules_are_right(examples: Path) -> None:
    promtool("check", "config", "prometheus.yml", cwd=examples)
    promtool("check", "rules", "rules.yml", cwd=examples)


def test_every_alert_fires_when_it_should_and_rests_otherwise(examples: Path) -> None:
    tests = Path(__file__).with_name("rules_test.yml")
    shutil.copy(tests, examples)
    promtool("test", "rules", tests.name, cwd=examples)
    fired = {alert["alertname"] for alert in _expected(yaml.safe_load(tests.read_text("utf-8"))) if alert["exp_alerts"]}
    assert fired == {rule["alert"] for rule in RULES}


def _expected(tests: Any) -> Iterator[Any]:
    for test in tests["tests"]:
        yield from test["alert_rule_test"]


def test_every_metric_of_a_panel_or_an_alert_is_one_that_prometheus_has(
    prometheus: Prometheus, service: Service
) -> None:
    named = {name for each in EXPRESSIONS for name in re.findall(r"pictwarden_\w+", each)} - OF_WORKERS
    assert len(named) > 20
    wanted = named - ON_RAY_ALONE if service.way == ONE_PROCESS else named
    wait_for(lambda: wanted <= prometheus.names())


def test_verdicts_name_the_source(prometheus: Prometheus) -> None:
    found = prometheus.ask("query", query='pictwarden_verdicts_total{verdict="reject", rule="red-triangle"}')["result"]
    assert {each["metric"]["source"] for each in found} == {"unnamed", "other"}


def test_every_panel_asks_what_prometheus_understands(prometheus: Prometheus) -> None:
    for each in EXPRESSIONS:
        prometheus.ask("query", query=each.replace("$__rate_interval", "1m"))


def test_no_alert_fires_for_a_service_that_is_well(prometheus: Prometheus) -> None:
    def states() -> dict[str, str]:
        (group,) = prometheus.ask("rules")["groups"]
        return {rule["name"]: rule["health"] for rule in group["rules"]}

    wait_for(lambda: set(states().values()) == {"ok"})
    assert states().keys() == {rule["alert"] for rule in RULES}
    alerts = prometheus.ask("alerts")["alerts"]
    assert [each for each in alerts if each["state"] == "firing"] == []
    assert {each["labels"]["alertname"] for each in alerts} <= OF_A_SLOW_MACHINE


def test_panels_lie_beside_each_other() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (across, down)
        for place in places
        for across in range(place["x"], place["x"] + place["w"])
        for down in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(across for across, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_the_scan_port_tells_no_metrics(service: Service) -> None:
    assert httpx.get(f"{service.root}/metrics", timeout=30, trust_env=False).status_code == 404
