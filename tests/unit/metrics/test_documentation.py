"""The table of docs/metrics.md has every metric, with its type and its labels, and no other."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from serve_app.batching import BatcherStats
from serve_app.metrics import FrontMetrics, NodePage, watch_decoding, watch_scoring, watch_workers
from serve_app.stages import Stage
from tests.unit.metrics import test_workers
from tests.unit.metrics.test_stages import Scorers, Workers

if TYPE_CHECKING:
    from tests.unit.conftest import Service

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
RULES = (ROOT / "examples" / "observability" / "rules.yml").read_text("utf-8")

ON_PAGE = {"counter": "_total", "info": "_info"}


def named(family: Metric) -> str:
    return family.name + ON_PAGE.get(family.type, "")


async def test_every_metric_is_in_the_table_and_no_other(
    make_service: Callable[..., Service], metrics: FrontMetrics, tmp_path: Path
) -> None:
    service = make_service(metrics=metrics)
    watch_decoding(metrics.registry, Workers(0))
    watch_scoring(metrics.registry, Scorers(BatcherStats({}, 0, 0)))
    watch_workers(metrics.registry, test_workers.Workers(), test_workers.Trust())
    await metrics.count_pending(service.ledger.kept)
    of_a_node = NodePage(tmp_path / "metrics").text().decode()
    families = [*metrics.registry.collect(), *text_string_to_metric_families(of_a_node)]
    counted = {named(each): {"info": "gauge, 1"}.get(each.type, each.type) for each in families}
    documented = dict(re.findall(r"(?m)^\| `(pictwarden_\w+)` \| ([^|]+) \|", PAGE))
    assert documented == counted
    assert all(each.documentation for each in families)


def test_every_stage_is_explained() -> None:
    table = PAGE.partition("### Stages")[2].partition("## Alerts")[0]
    assert re.findall(r"(?m)^\| `([a-z_]+)` \|", table) == list(Stage)


def test_every_alert_has_something_to_do() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES)
    assert re.findall(r"(?m)^\| `(Pictwarden\w+)` \|", PAGE) == alerts
    assert len(set(alerts)) == len(alerts)
