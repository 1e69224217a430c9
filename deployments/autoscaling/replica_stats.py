"""What a replica tells the autoscaler about itself: the keys of ``record_autoscaling_stats``."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ReplicaStats:
    """One replica, now."""

    predicted_wait_s: float
    """Seconds until a picture that came now would be begun: the work that waits, as the replica itself predicts it."""

    offered_work: float
    """Seconds of this replica's work that arrive per second, refused pictures included. Above 1, it cannot keep up."""

    picture_s: float
    """Seconds of this replica that an average picture takes."""

    deadline_s: float
    """Seconds that a picture has from its first byte to its answer: the setting of the application."""

    def as_metrics(self) -> dict[str, float]:
        """For Serve, which takes numbers by name."""
        return asdict(self)
