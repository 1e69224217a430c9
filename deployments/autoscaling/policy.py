"""Ray Serve's door to :mod:`deployments.autoscaling.queue_delay`: ``autoscaling_config.policy`` names the class here.

Serve pickles this module by value into its controller, which imports the others by name: no module here imports
anything heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ray.serve.config import AutoscalingContext

from deployments.autoscaling.queue_delay import QueueDelaySettings, Workload, wanted_replicas
from deployments.autoscaling.replica_stats import ReplicaStats

_REPORTS = "reports"
_FIGURES = tuple(field.name for field in fields(ReplicaStats))


class QueueDelayPolicy:
    """Called by Serve's controller in each iteration of its loop; one instance for each deployment.

    A class, because Serve passes ``policy_kwargs`` only to classes.
    """

    def __init__(self, **settings: float) -> None:
        """``settings``: as :class:`QueueDelaySettings` names them.

        Raises:
            TypeError: an unknown name.
            ValueError: a value out of its range.
        """
        self._settings = QueueDelaySettings(**settings)

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """The wanted number of replicas, and the state for the next iteration."""
        now_s = context.current_time or 0.0
        newest = _newest_reports(context)
        # The time stamp of a report is of another machine's clock: its age is the time since it was first seen here.
        before: Mapping[str, tuple[float, float]] = context.policy_state.get(_REPORTS, {})
        seen = {
            replica: (stamp, before[replica][1] if replica in before and before[replica][0] == stamp else now_s)
            for replica, (stamp, _) in newest.items()
        }
        fresh = [
            stats for replica, (_, stats) in newest.items() if now_s - seen[replica][1] <= self._settings.stale_after_s
        ]
        wanted = wanted_replicas(
            _workload(context, fresh),
            self._settings,
            context.capacity_adjusted_min_replicas,
            context.capacity_adjusted_max_replicas,
        )
        return wanted, {_REPORTS: seen}


def _newest_reports(context: AutoscalingContext) -> dict[str, tuple[float, ReplicaStats]]:
    """Time stamp and figures of each running replica's newest report; a replica that lacks a figure is left out."""
    raw = context.raw_metrics or {}
    newest: dict[str, tuple[float, ReplicaStats]] = {}
    for replica in context.running_replicas:
        series = [raw.get(name, {}).get(replica) for name in _FIGURES]
        if all(series):
            points = [points[-1] for points in series if points]
            newest[replica.unique_id] = points[0].timestamp, ReplicaStats(*(point.value for point in points))
    return newest


def _workload(context: AutoscalingContext, fresh: list[ReplicaStats]) -> Workload:
    running = context.current_num_replicas
    known = len(fresh)
    waiting_s = sum(stats.predicted_wait_s for stats in fresh)
    if known:
        # Requests that wait in their callers' handles are work of the replicas too.
        waiting_s += context.total_queued_requests * sum(stats.picture_s for stats in fresh) / known
    return Workload(
        target=context.target_num_replicas,
        running=running,
        silent=running - known,
        offered_work=sum(stats.offered_work for stats in fresh),
        backlog_s=waiting_s,
        # Replicas of two versions of the application may differ; the shorter deadline is in danger first.
        deadline_s=min((stats.deadline_s for stats in fresh), default=0.0),
    )
