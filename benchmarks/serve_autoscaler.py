"""Serve's own autoscaler, on a clock that a simulation moves.

Nothing of Serve is written anew here: its ``DeploymentAutoscalingState`` is given the reports that handles and replicas
send it, and decides as it does in the controller, with its look-back window, its delays, its bounds, and the policy of
the configuration. Only the two modules' ``time`` is another one. The classes are not public; the benchmark will notice
the day that they change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from unittest.mock import patch

from ray.serve import autoscaling_policy
from ray.serve._private import autoscaling_state
from ray.serve._private.common import (
    RUNNING_REQUESTS_KEY,
    DeploymentHandleSource,
    DeploymentID,
    HandleMetricReport,
    ReplicaID,
    ReplicaMetricReport,
    TimeStampedValue,
)
from ray.serve._private.config import DeploymentConfig, ReplicaConfig
from ray.serve._private.constants import RAY_SERVE_AUTOSCALING_METRIC_RECORD_INTERVAL_FACTOR
from ray.serve._private.deployment_info import DeploymentInfo
from ray.serve.config import AutoscalingConfig

_DEPLOYMENT = DeploymentID(name="ClipScorer", app_name="simulation")


@dataclass
class SimulatedTime:
    """Stands for the ``time`` module. Starts above zero, as Serve takes a time of zero for none."""

    now_s: float = 1_000_000.0

    def time(self) -> float:
        """Seconds."""
        return self.now_s

    monotonic = time


class Reporting(Protocol):
    """A running replica, as its handle and its own report see it."""

    @property
    def ongoing(self) -> int:
        """Requests that it holds."""

    def stats(self) -> Mapping[str, float]:
        """What its ``record_autoscaling_stats`` returns."""


@contextlib.contextmanager
def serve_runs_on(clock: SimulatedTime) -> Iterator[None]:
    """Within this block Serve's autoscaler reads ``clock``."""
    with patch.object(autoscaling_state, "time", clock), patch.object(autoscaling_policy, "time", clock):
        yield


class ServeAutoscaler:
    """One deployment's autoscaling, as Serve's controller has it. Use it inside :func:`serve_runs_on`."""

    def __init__(self, config: Mapping[str, Any], clock: SimulatedTime) -> None:
        """``config``: the ``autoscaling_config`` of a deployment in ``serve_config.yaml``."""
        self._config = AutoscalingConfig.model_validate(dict(config))
        self._clock = clock
        self._state = autoscaling_state.DeploymentAutoscalingState(_DEPLOYMENT)
        info = DeploymentInfo(
            deployment_config=DeploymentConfig(autoscaling_config=self._config),
            replica_config=ReplicaConfig.create(lambda: None),
            start_time_ms=0,
            deployer_job_id="",
        )
        self.target = self._state.register(info, self._config.min_replicas)
        self._replicas: dict[int, ReplicaID] = {}
        self._series: dict[tuple[int, str], list[TimeStampedValue]] = {}
        self._next_record_s = self._next_push_s = clock.now_s

    def turn(self, running: Mapping[int, Reporting]) -> int:
        """One turn of the control loop: record and push what is due, then decide on a target number of replicas."""
        now_s = self._clock.now_s
        ids = [self._replicas.setdefault(number, ReplicaID(str(number), _DEPLOYMENT)) for number in running]
        if [*self._state._running_replicas] != ids:
            self._state.update_running_replica_ids(ids)
        if now_s >= self._next_record_s:
            self._record(running)
            interval_s = self._config.look_back_period_s * RAY_SERVE_AUTOSCALING_METRIC_RECORD_INTERVAL_FACTOR
            self._next_record_s += min(interval_s, self._config.metrics_interval_s)
        if now_s >= self._next_push_s:
            self._push(list(running))
            self._next_push_s += self._config.metrics_interval_s
        before, self.target = self.target, self._state.get_decision_num_replicas(self.target)
        if self.target > before:
            self._state.record_scale_up()  # type: ignore[no-untyped-call]
        elif self.target < before:
            self._state.record_scale_down()  # type: ignore[no-untyped-call]
        return self.target

    def _record(self, running: Mapping[int, Reporting]) -> None:
        now_s = self._clock.now_s
        kept: dict[tuple[int, str], list[TimeStampedValue]] = {}
        for number, replica in running.items():
            for name, value in {RUNNING_REQUESTS_KEY: float(replica.ongoing), **replica.stats()}.items():
                series = self._series.get((number, name), [])
                first_s = now_s - self._config.look_back_period_s
                kept[number, name] = [each for each in series if each.timestamp >= first_s]
                kept[number, name].append(TimeStampedValue(now_s, value))
        self._series = kept

    def _push(self, running: Sequence[int]) -> None:
        """As a handle pushes: what runs in each replica. And as replicas push: their own figures."""
        now_s = self._clock.now_s
        ongoing = {
            self._replicas[number].to_full_id_str(): self._series[number, RUNNING_REQUESTS_KEY]
            for number in running
            if (number, RUNNING_REQUESTS_KEY) in self._series
        }
        # Nothing waits in the handles: max_ongoing_requests of the scorer is above what a deadline's length holds.
        self._state.record_request_metrics_for_handle(
            HandleMetricReport(
                deployment_id=_DEPLOYMENT,
                handle_id="ingress",
                actor_id="ingress",
                handle_source=DeploymentHandleSource.UNKNOWN,
                queued_requests=[TimeStampedValue(now_s, 0.0)],
                metrics={RUNNING_REQUESTS_KEY: ongoing},
                timestamp=now_s,
            )
        )
        for number in running:
            own = {
                name: series
                for (of, name), series in self._series.items()
                if of == number and name != RUNNING_REQUESTS_KEY
            }
            self._state.record_request_metrics_for_replica(ReplicaMetricReport(self._replicas[number], own, now_s))
