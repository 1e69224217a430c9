"""The statistics of a replica for the autoscaler: the keys of ``record_autoscaling_stats``."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ReplicaStats:
    """One replica, now."""

    predicted_wait_s: float
    """Seconds until a picture that arrives now would be started, as the replica predicts it."""

    offered_work: float
    """Seconds of this replica's work that arrive per second, including refused pictures; above 1, it falls behind."""

    picture_s: float
    """Seconds of this replica's work for an average picture."""

    deadline_s: float
    """The setting ``deadline_s`` of the application."""

    def as_metrics(self) -> dict[str, float]:
        """As Serve takes them: numbers by name."""
        return asdict(self)
