"""What a fleet has and has measured, for metrics and for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemberStats:
    """A worker's counts since it joined, and what was measured."""

    name: str
    pictures: int
    rows: int
    in_flight: int
    view_ms: float
    round_trip_ms: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class FleetStats:
    """What the fleet has now."""

    waiting: int
    in_flight: int
    members: tuple[MemberStats, ...]
