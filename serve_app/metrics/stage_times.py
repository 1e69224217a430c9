"""How long the stages of pictures take, in this process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

from serve_app.domain import Call, Lane
from serve_app.metrics import buckets
from serve_app.stages import Stage, observe_stages


class StageTimes:
    """Observes every stage of this process from when it is made to :meth:`close`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "pictwarden_stage_seconds",
            "Time in a stage, waits included.",
            ["stage", "lane"],
            buckets=buckets.SECONDS,
            registry=registry,
        )
        # A picture has a dozen stages, and to look each up by its labels would take as long as to count it.
        self._of_stage: dict[tuple[Stage, Lane], Histogram] = {}
        self.close = observe_stages(self._observe)

    def _observe(self, stage: Stage, call: Call, began_s: float, ended_s: float) -> None:
        seconds = self._of_stage.get((stage, call.lane))
        if seconds is None:
            seconds = self._of_stage[stage, call.lane] = self._seconds.labels(stage.value, call.lane.value)
        seconds.observe(ended_s - began_s)
