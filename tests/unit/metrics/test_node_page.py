"""The page of a node: what becomes of the counts when processes come, stand still and go."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from serve_app.metrics import NodePage, page_text
from serve_app.metrics.node_page import GONE_AFTER_S, SILENT_AFTER_S
from tests.unit.metric_samples import labels, samples


class Process:
    """One that counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.counter = Counter("seen", "Seen.", ["what"], registry=self.registry)
        self.gauge = Gauge("inside", "Inside.", registry=self.registry)
        self.times = Histogram("took_seconds", "Took.", buckets=(1.0, 8.0), registry=self.registry)

    def write(self, page: NodePage, name: str) -> None:
        page.write(name, page_text(self.registry))


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def page(tmp_path: Path, now: list[float]) -> NodePage:
    return NodePage(tmp_path / "metrics", lambda: now[0])


def aged(tmp_path: Path, name: str, at_s: float) -> None:
    os.utime(tmp_path / "metrics" / f"{name}.prom", (at_s, at_s))


def test_the_series_of_each_process_stay_its_own(tmp_path: Path, page: NodePage) -> None:
    for name, count in (("Ingress-a", 2), ("Ingress-b", 3)):
        process = Process()
        process.counter.labels('a "quoted" \\ name').inc(count)
        process.times.observe(8.2)
        process.gauge.set(count)
        process.write(page, name)
        aged(tmp_path, name, 0.0)
    text = page.text()
    found = samples(text)
    what = 'a "quoted" \\ name'
    assert found["seen_total"] == {labels(what=what, replica="Ingress-a"): 2, labels(what=what, replica="Ingress-b"): 3}
    assert found["inside"] == {labels(replica="Ingress-a"): 2, labels(replica="Ingress-b"): 3}
    assert found["took_seconds_bucket"][labels(le="8.0", replica="Ingress-b")] == 0
    assert found["took_seconds_bucket"][labels(le="+Inf", replica="Ingress-b")] == 1
    assert text.count(b"# TYPE seen_total counter") == text.count(b"# TYPE took_seconds histogram") == 1


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=12), st.integers(1, 9), max_size=4))
def test_any_value_of_a_label_comes_through(tmp_path_factory: pytest.TempPathFactory, counts: dict[str, int]) -> None:
    page = NodePage(tmp_path_factory.mktemp("node") / "metrics")
    process = Process()
    for what, count in counts.items():
        process.counter.labels(what).inc(count)
    for name in ("Ingress-a", "Ingress-b"):
        process.write(page, name)
    expected = {labels(what=what, replica=name): n for what, n in counts.items() for name in ("Ingress-a", "Ingress-b")}
    assert samples(page.text()).get("seen_total", {}) == expected


def test_the_last_counts_of_a_process_that_ended_are_told_for_a_while(
    tmp_path: Path, page: NodePage, now: list[float]
) -> None:
    process = Process()
    process.counter.labels("x").inc()
    process.gauge.set(1)
    process.write(page, "Preprocessor-a")
    aged(tmp_path, "Preprocessor-a", 0.0)
    replica = labels(replica="Preprocessor-a")
    now[0] = SILENT_AFTER_S + 1
    found = samples(page.text())
    assert found["seen_total"] == {labels(what="x", replica="Preprocessor-a"): 1}
    assert "inside" not in found, "what it said of that moment no longer holds"
    assert found["pictwarden_snapshot_age_seconds"] == {replica: SILENT_AFTER_S + 1}
    assert [each.is_silent for each in page.snapshots()] == [True]
    now[0] = GONE_AFTER_S + 1
    assert samples(page.text()) == {}
    assert list((tmp_path / "metrics").iterdir()) == []


def test_a_process_that_goes_on_is_told_again(tmp_path: Path, page: NodePage, now: list[float]) -> None:
    process = Process()
    now[0] = GONE_AFTER_S + 1
    for counted in (1, 2):
        process.counter.labels("x").inc()
        process.write(page, "ClipScorer-a")
        aged(tmp_path, "ClipScorer-a", now[0])
        assert samples(page.text())["seen_total"] == {labels(what="x", replica="ClipScorer-a"): counted}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 100)), max_size=30))
def test_no_series_ever_falls_whichever_processes_are_replaced(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, int]]
) -> None:
    """A counter that falls is taken for one that began again, and its whole value for new events."""
    folder = tmp_path_factory.mktemp("node")
    page = NodePage(folder / "metrics")
    processes = {number: (f"Ingress-{number}", Process()) for number in range(4)}
    before: dict[tuple[tuple[str, str], ...], float] = {}
    for position, (number, count) in enumerate(events):
        if count % 10 == 0:  # it dies, and another one takes its place
            processes[number] = (f"Ingress-{number}-{position}", Process())
        name, process = processes[number]
        process.counter.labels("x").inc(count)
        process.write(page, name)
        found = samples(page.text())["seen_total"]
        assert all(found[series] >= value for series, value in before.items())
        before = found


def test_nobody_else_reads_the_folder(tmp_path: Path, page: NodePage) -> None:
    assert stat.S_IMODE((tmp_path / "metrics").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_is_an_error_of_the_writer(tmp_path: Path, page: NodePage) -> None:
    (tmp_path / "metrics").rmdir()
    with pytest.raises(FileNotFoundError):
        Process().write(page, "Ingress-a")
    assert samples(page.text()) == {}
