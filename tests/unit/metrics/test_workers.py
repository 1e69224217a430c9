"""What a fleet and the trust in its workers are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serve_app.metrics import CollectorRegistry, watch_workers
from tests.unit.metric_samples import labels, samples


@dataclass
class Worker:
    name: str
    pictures: int = 0
    view_ms: float = 0.0
    round_trip_ms: float = 0.0


@dataclass
class Pictures:
    waiting: int = 0
    in_flight: int = 0
    members: Sequence[Worker] = ()


@dataclass
class Workers:
    stats: Pictures = field(default_factory=Pictures)
    states: dict[str, int] = field(default_factory=lambda: {"trusted": 0, "on trial": 0})
    handed_over_pictures: int = 0
    refused_workers: dict[str, int] = field(default_factory=dict)
    absent_s: float = 0.0
    is_fallback_scoring: bool = False


@dataclass
class Trust:
    dropped_workers: dict[str, int] = field(default_factory=dict)


def test_workers_are_told_by_their_state_and_those_that_are_connected_one_by_one() -> None:
    registry = CollectorRegistry()
    workers = Workers(
        Pictures(3, 7, [Worker("anna/desktop", 12, 1.5, 40.0), Worker("ben/card")]),
        {"trusted": 1, "on trial": 1},
        5,
        {"full": 2, "secret": 1000},
        90.0,
        True,
    )
    watch_workers(registry, workers, Trust({"wrong": 1}))
    found = samples(registry)
    anna = labels(worker="anna/desktop")
    assert found["pictwarden_workers"] == {labels(state="trusted"): 1, labels(state="on trial"): 1}
    assert found["pictwarden_workers_waiting_pictures"] == {(): 3}
    assert found["pictwarden_workers_sent_pictures"] == {(): 7}
    assert found["pictwarden_worker_pictures_total"] == {anna: 12, labels(worker="ben/card"): 0}
    assert found["pictwarden_worker_view_seconds"][anna] == 0.0015
    assert found["pictwarden_worker_round_trip_seconds"][anna] == 0.04
    assert found["pictwarden_workers_handed_over_total"] == {(): 5}
    assert found["pictwarden_workers_refused_total"] == {labels(reason="full"): 2, labels(reason="secret"): 1000}
    assert found["pictwarden_workers_doubted_total"] == {labels(why="wrong"): 1}
    assert found["pictwarden_workers_absent_seconds"] == {(): 90}
    assert found["pictwarden_fallback_scoring"] == {(): 1}
    workers.stats = Pictures()
    assert "pictwarden_worker_pictures_total" not in samples(registry), "one that has left has no series any more"
