"""The page that Prometheus reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry, generate_latest, make_asgi_app
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

PAGE_PATH: Final = "/metrics"

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
    """An application with the page at :data:`PAGE_PATH`, and nothing elsewhere: no probe takes it for the service."""
    shown = Plain(metrics) if isinstance(metrics, CollectorRegistry) else metrics
    page = cast("PageApp", make_asgi_app(_registry_of(shown)))

    async def app(
        scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["path"] == PAGE_PATH:
            await page(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": f"the metrics are at {PAGE_PATH}\n".encode()})

    return app


def _registry_of(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry
