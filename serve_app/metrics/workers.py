"""The metrics of workers elsewhere. Only those that are connected have series of their own: so these are bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry

from serve_app.metrics.families import Value, register


class Worker(Protocol):
    """One that is connected."""

    @property
    def name(self) -> str:
        """As in its decisions."""
        ...

    @property
    def pictures(self) -> int:
        """Scored since it has joined."""
        ...

    @property
    def view_ms(self) -> float:
        """Of its device."""
        ...

    @property
    def round_trip_ms(self) -> float:
        """Of its connection."""
        ...


class Pictures(Protocol):
    """Where pictures are now."""

    @property
    def waiting(self) -> int:
        """For a worker."""
        ...

    @property
    def in_flight(self) -> int:
        """On the way to one, or there."""
        ...

    @property
    def members(self) -> Sequence[Worker]:
        """The workers that are connected."""
        ...


class Workers(Protocol):
    """What is asked of the record of a fleet."""

    @property
    def stats(self) -> Pictures:
        """What it has now."""
        ...

    @property
    def states(self) -> Mapping[str, int]:
        """Connected workers, by their state."""
        ...

    @property
    def handed_over_pictures(self) -> int:
        """Since the start."""
        ...

    @property
    def refused_workers(self) -> Mapping[str, int]:
        """Since the start, by the reason."""
        ...

    @property
    def absent_s(self) -> float:
        """Seconds since a worker got pictures; 0 while one does."""
        ...

    @property
    def is_fallback_scoring(self) -> bool:
        """Whether no worker gets pictures, and somebody stands in."""
        ...


class Trust(Protocol):
    """What is asked of the record of trust."""

    @property
    def dropped_workers(self) -> Mapping[str, int]:
        """How often workers were dropped, or two contradicted each other, since the start."""
        ...


def watch_workers(registry: CollectorRegistry, workers: Workers, trust: Trust) -> None:
    """Have the page of ``registry`` tell of the workers of a service."""

    def values() -> Iterable[Value]:
        stats = workers.stats
        yield Value("pictwarden_workers", "Workers that are connected, by their state.", workers.states, "state")
        yield Value("pictwarden_workers_waiting_pictures", "Pictures that wait for a worker.", stats.waiting)
        yield Value(
            "pictwarden_workers_sent_pictures", "Pictures that workers have, and have not answered.", stats.in_flight
        )
        yield from _of_each(stats.members)
        yield Value(
            "pictwarden_workers_handed_over_total",
            "Pictures that were handed over from a worker to another one.",
            workers.handed_over_pictures,
        )
        yield Value(
            "pictwarden_workers_refused_total", "Connections that were refused.", workers.refused_workers, "reason"
        )
        yield Value(
            "pictwarden_workers_doubted_total",
            "How often workers were dropped, or two contradicted each other.",
            trust.dropped_workers,
            "why",
        )
        yield Value(
            "pictwarden_workers_absent_seconds", "Since a worker got pictures; 0 while one does.", workers.absent_s
        )
        yield Value(
            "pictwarden_fallback_scoring",
            "1 while no worker is there, and the service or workers of fedi-safety scan uploads.",
            float(workers.is_fallback_scoring),
        )

    register(registry, values)


def _of_each(members: Sequence[Worker]) -> Iterable[Value]:
    yield Value(
        "pictwarden_worker_pictures_total",
        "Pictures that a worker has scored since it joined.",
        {each.name: each.pictures for each in members},
        "worker",
    )
    yield Value(
        "pictwarden_worker_view_seconds",
        "What a view takes on the device of a worker.",
        {each.name: each.view_ms / 1e3 for each in members},
        "worker",
    )
    yield Value(
        "pictwarden_worker_round_trip_seconds",
        "The round trip to a worker.",
        {each.name: each.round_trip_ms / 1e3 for each in members},
        "worker",
    )
