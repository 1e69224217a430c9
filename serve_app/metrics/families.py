"""Metrics whose value a part of the service knows, and is asked for whenever somebody asks for the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Value:
    """A number, or one for each value of a label. None is what nobody knows now: it is left out.

    ``name`` ends in ``_total`` for a count that never falls; everything else may rise and fall.
    """

    name: str
    help: str
    value: float | Mapping[str, float] | None
    label: str = ""

    def family(self) -> Metric:
        """As the page has it."""
        made = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        family: CounterMetricFamily | GaugeMetricFamily = made(
            self.name, self.help, labels=[self.label] if self.label else []
        )
        values = self.value if isinstance(self.value, Mapping) else {"": self.value}
        for label, value in values.items():
            if value is not None:
                family.add_metric([label] if self.label else [], value)
        return family


class _Asked(Collector):
    def __init__(self, ask: Callable[[], Iterable[Value]]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        """See Prometheus' library."""
        return [each.family() for each in self._ask()]


def register(registry: CollectorRegistry, ask: Callable[[], Iterable[Value]]) -> None:
    """Have ``ask`` asked whenever somebody asks for the metrics in ``registry``, in any thread."""
    registry.register(_Asked(ask))
