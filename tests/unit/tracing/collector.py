"""A stand-in for an OpenTelemetry collector: takes spans by OTLP over HTTP, and remembers them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    name: str
    component: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]


@dataclass
class Collector:
    port: int
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that is to send its spans here, soon after they end."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}", "OTEL_BSP_SCHEDULE_DELAY": "100"}

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            self.bodies.append(body)
            for resource in request.resource_spans:
                component = _plain(resource.resource.attributes)["pictwarden.component"]
                self.spans += [_span(span, component) for scope in resource.scope_spans for span in scope.spans]
            self._changed.notify_all()

    def wait_for(self, names: set[str], trace_id: str, timeout_s: float = 30.0) -> list[Span]:
        """The spans of a trace so far, once there is one of each name, or the time is over."""

        def of_trace() -> list[Span]:
            return [span for span in self.spans if span.trace_id == trace_id]

        with self._changed:
            self._changed.wait_for(lambda: names <= {span.name for span in of_trace()}, timeout_s)
            return of_trace()


@contextmanager
def collecting() -> Iterator[Collector]:
    """Within, a collector listens on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _span(told: Any, component: str) -> Span:
    return Span(
        told.name,
        component,
        told.trace_id.hex(),
        told.span_id.hex(),
        told.parent_span_id.hex(),
        told.start_time_unix_nano,
        told.end_time_unix_nano,
        _plain(told.attributes),
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
