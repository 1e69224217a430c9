"""The two stages that work for others: decode workers and the device. Each may be in a process of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serve_app.metrics import buckets
from serve_app.metrics.families import Value, register


class Workers(Protocol):
    """What is asked of decode workers."""

    @property
    def lost(self) -> int:
        """Workers that were killed or died with a picture, since the start."""
        ...

    def pids(self) -> Collection[int]:
        """The processes that are there now."""
        ...


class Passes(Protocol):
    """What is asked of a batcher's counts, since the start."""

    @property
    def passes_by_size(self) -> Mapping[int, int]:
        """Passes, by how many views each had."""
        ...

    @property
    def refused_jobs(self) -> int:
        """Pictures that were refused on arrival."""
        ...

    @property
    def dropped_jobs(self) -> int:
        """Pictures that were taken, and could not be scored in time."""
        ...


class Scorers(Protocol):
    """Whoever has a batcher."""

    @property
    def stats(self) -> Passes:
        """Its counts."""
        ...


def watch_decoding(registry: CollectorRegistry, workers: Workers) -> None:
    """Have the page of ``registry`` tell of decode workers."""

    def values() -> Iterable[Value]:
        yield Value("pictwarden_decode_workers", "Decode workers that are alive.", len(workers.pids()))
        yield Value(
            "pictwarden_decode_workers_lost_total",
            "Decode workers that died with a picture, or were killed because it took too long.",
            workers.lost,
        )

    register(registry, values)


def watch_scoring(registry: CollectorRegistry, scorers: Scorers) -> None:
    """Have the page of ``registry`` tell of a device's passes."""

    def values() -> Iterable[Value]:
        stats = scorers.stats
        yield Value(
            "pictwarden_not_scored_total",
            "Pictures that the device could not score in time. when: on arrival, or later.",
            {"arrival": stats.refused_jobs, "later": stats.dropped_jobs},
            "when",
        )

    register(registry, values)
    registry.register(_PassSizes(scorers))


class _PassSizes(Collector):
    def __init__(self, scorers: Scorers) -> None:
        self._scorers = scorers

    def collect(self) -> Iterable[Metric]:
        """See Prometheus' library."""
        by_size = self._scorers.stats.passes_by_size
        bounds = [
            (f"{bound:.1f}", float(sum(passes for size, passes in by_size.items() if size <= bound)))
            for bound in buckets.VIEWS
        ]
        bounds.append(("+Inf", float(sum(by_size.values()))))
        views = float(sum(size * passes for size, passes in by_size.items()))
        yield HistogramMetricFamily(
            "pictwarden_pass_views", "Views in one pass of the device: the size of a batch.", bounds, views
        )
