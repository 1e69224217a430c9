"""The page that Prometheus reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, cast

from prometheus_client import CollectorRegistry, generate_latest, make_asgi_app
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

PageApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]
"""An ASGI application."""


class Plain(Collector):
    """The metrics of a registry, without the moments at which each was created: they double the page."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """See Prometheus' library."""
        for family in self._registry.collect():
            family.samples = [each for each in family.samples if not each.name.endswith("_created")]
            yield family


def page_text(registry: CollectorRegistry) -> bytes:
    """The metrics in ``registry``, in Prometheus' text format."""
    return generate_latest(_registry_of(Plain(registry)))


def page_app(metrics: CollectorRegistry | Collector) -> PageApp:
    """An application that answers every path with the page."""
    shown = Plain(metrics) if isinstance(metrics, CollectorRegistry) else metrics
    return cast("PageApp", make_asgi_app(_registry_of(shown)))


def _registry_of(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry
