"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP. Its variables set sampling, endpoint, headers and limits."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serve_app.domain import Call
from serve_app.stages import Stage, observe_stages
from serve_app.tracing import RequestSpan

_SERVICE = "pictwarden"
_VERSION = version(_SERVICE)

# The headers of W3C Trace Context.
_PROPAGATOR = TraceContextTextMapPropagator()
_TRACE_HEADERS = ("traceparent", "tracestate")


class Tracing:
    """The spans of a process. They are sent from a thread; while too many wait, further ones are lost."""

    def __init__(self, component: str) -> None:
        """``component`` is the part of the service that this process is."""
        attributes = {SERVICE_VERSION: _VERSION, "pictwarden.component": component}
        if "OTEL_SERVICE_NAME" not in os.environ:  # which would count for less than what stands here
            attributes[SERVICE_NAME] = _SERVICE
        # Not the process's global one: other libraries would then send spans of their own, which may name anything.
        self._provider = TracerProvider(resource=Resource.create(attributes))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._forget_stages = observe_stages(self._note_stage)
        self._tracer = self._provider.get_tracer(_SERVICE, _VERSION)

    def begin_request(self, name: str, headers: Mapping[str, str]) -> RequestSpan:
        """See :func:`serve_app.tracing.begin_request`."""
        told = {header: headers[header] for header in _TRACE_HEADERS if header in headers}
        return _Recorded(self._tracer.start_span(name, _PROPAGATOR.extract(told, Context()), SpanKind.SERVER))

    def _note_stage(self, stage: Stage, call: Call, began_s: float, ended_s: float) -> None:
        if call.traceparent is None:
            return
        parent = _PROPAGATOR.extract({"traceparent": call.traceparent}, Context())
        attributes = {"pictwarden.request_id": call.request_id, "pictwarden.source": call.source}
        now_s, now_ns = time.monotonic(), time.time_ns()
        span = self._tracer.start_span(
            stage, parent, attributes=attributes, start_time=now_ns - round((now_s - began_s) * 1e9)
        )
        span.end(now_ns - round((now_s - ended_s) * 1e9))

    def close(self) -> None:
        """Send what waits, and end."""
        self._forget_stages()
        self._provider.shutdown()


class _Recorded(RequestSpan):
    """A span that is exported once it has ended, if it is sampled."""

    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        if context.trace_flags.sampled:
            trace, parent = format_trace_id(context.trace_id), format_span_id(context.span_id)
            self.traceparent = f"00-{trace}-{parent}-{context.trace_flags:02x}"

    def end(self, attributes: Mapping[str, str | int]) -> None:
        """See the class above."""
        self._span.set_attributes(attributes)
        self._span.end()
