"""What a device and decode workers are asked for."""

from dataclasses import dataclass

from serve_app.batching import BatcherStats
from serve_app.metrics import CollectorRegistry, watch_decoding, watch_scoring
from tests.unit.metric_samples import labels, samples


@dataclass
class Scorers:
    stats: BatcherStats


@dataclass
class Workers:
    lost: int

    def pids(self) -> set[int]:
        return {1, 2}


def test_passes_are_told_by_their_size() -> None:
    registry = CollectorRegistry()
    watch_scoring(registry, Scorers(BatcherStats({1: 5, 3: 2, 128: 1}, dropped_jobs=4, refused_jobs=6)))
    found = samples(registry)
    buckets = found["pictwarden_pass_views_bucket"]
    assert [buckets[labels(le=le)] for le in ("1.0", "2.0", "4.0", "64.0", "128.0", "+Inf")] == [5, 5, 7, 7, 8, 8]
    assert found["pictwarden_pass_views_sum"] == {(): 5 + 6 + 128}
    assert found["pictwarden_pass_views_count"] == {(): 8}
    assert found["pictwarden_not_scored_total"] == {labels(when="arrival"): 6, labels(when="later"): 4}


def test_decode_workers_are_told_with_those_that_were_lost() -> None:
    registry = CollectorRegistry()
    watch_decoding(registry, Workers(lost=3))
    found = samples(registry)
    assert found["pictwarden_decode_workers"] == {(): 2}
    assert found["pictwarden_decode_workers_lost_total"] == {(): 3}
