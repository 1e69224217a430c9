"""The page that Prometheus reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

PAGE_PATH: Final = "/metrics"

PageApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]
"""An ASGI application."""


class _Plain(Collector):
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
    plain = CollectorRegistry()
    plain.register(_Plain(registry))
    return generate_latest(plain)


def page_app(text: Callable[[], bytes]) -> PageApp:
    """An application that tells ``text`` at :data:`PAGE_PATH`; nothing elsewhere: no probe takes it for the service."""

    async def app(
        scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["path"] == PAGE_PATH:
            status, content_type, body = 200, CONTENT_TYPE_LATEST, text()
        else:
            status, content_type, body = 404, "text/plain", f"the metrics are at {PAGE_PATH}\n".encode()
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
