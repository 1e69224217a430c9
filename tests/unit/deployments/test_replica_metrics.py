"""Replicas of one node, as threads of this process: who tells the metrics, and of whom. No Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from deployments import replica_metrics
from deployments.private_folder import METRICS_FOLDER_ENV
from deployments.ray_environment import free_ports
from deployments.replica_metrics import ReplicaMetrics, publish_metrics, publish_stage
from serve_app.batching import BatcherStats
from serve_app.metrics import CollectorRegistry, watch_decoding, watch_scoring
from serve_app.settings import MetricsSettings
from tests.unit.metric_samples import Samples, labels, samples
from tests.unit.metrics.test_stages import Scorers, Workers

PATIENT_S = 60.0


@pytest.fixture(autouse=True, scope="module")
def told_once() -> Iterator[None]:
    """The threads live as long as this process, and the folders do not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replica_metrics, "SNAPSHOT_EVERY_S", 1e6)
        yield


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def node(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a node, and every name that a replica of it may have."""
    names = iter(("Preprocessor-a", "ClipScorer-b"))
    monkeypatch.setattr(replica_metrics, "replica_name", lambda: next(names))
    monkeypatch.setenv(METRICS_FOLDER_ENV, str(tmp_path / "metrics"))
    return tmp_path / "metrics"


def page_once(port: int, condition: Callable[[Samples], bool]) -> Samples:
    """The page, as soon as the condition holds."""
    give_up_s = time.monotonic() + PATIENT_S
    while time.monotonic() < give_up_s:
        try:
            found = samples(httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).content)
        except httpx.HTTPError:
            continue
        if condition(found):
            return found
    raise AssertionError("waited in vain")


def test_one_of_them_tells_of_all(node: Path, port: int) -> None:
    settings = MetricsSettings(port=port)
    publish_stage(settings, lambda registry: watch_decoding(registry, Workers(3)))
    publish_stage(settings, lambda registry: watch_scoring(registry, Scorers(BatcherStats({2: 5}, 0, 0))))
    found = page_once(port, lambda found: len(found["pictwarden_snapshot_age_seconds"]) == 2)
    assert found["pictwarden_decode_workers_lost_total"] == {labels(replica="Preprocessor-a"): 3}
    assert found["pictwarden_pass_views_sum"] == {labels(replica="ClipScorer-b"): 10}


def test_those_that_stand_still_are_named_without_a_look_at_the_folder(node: Path, port: int) -> None:
    node.mkdir()
    stuck = node / "Preprocessor-b.prom"
    stuck.write_bytes(b"")
    os.utime(stuck, (time.time() - 30, time.time() - 30))
    published = ReplicaMetrics(CollectorRegistry(), "127.0.0.1", port, node, "Ingress-a")
    give_up_s = time.monotonic() + PATIENT_S
    while not (silent := published.silent_replicas()):
        assert time.monotonic() < give_up_s, "waited in vain"
    node.rename(node.with_name("elsewhere"))
    assert published.silent_replicas() == silent == ("Preprocessor-b",)


@pytest.mark.parametrize("settings", [None, MetricsSettings(port=None)])
def test_without_a_port_nothing_is_counted(node: Path, settings: MetricsSettings | None) -> None:
    def watch(_: CollectorRegistry) -> None:
        raise AssertionError("it was asked to watch")

    publish_stage(settings, watch)
    assert not node.exists()


def test_a_node_without_a_folder_says_what_to_do(
    port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(METRICS_FOLDER_ENV, raising=False)
    assert not publish_metrics(CollectorRegistry(), MetricsSettings(port=port))()
    assert "deployments.cluster_environment" in caplog.text


def test_a_folder_that_cannot_be_made_ends_no_replica(
    node: Path, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(METRICS_FOLDER_ENV, str(node / "nowhere" / "metrics"))
    assert not publish_metrics(CollectorRegistry(), MetricsSettings(port=port))()
    assert "no metrics are served" in caplog.text
