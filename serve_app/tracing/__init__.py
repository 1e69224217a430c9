"""Traces in OpenTelemetry's form: a span for each request, and one for each of its stages (``docs/logging.md``).

They exist where the standard variable ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set. Elsewhere nothing of OpenTelemetry is
imported, and a request costs nothing more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from serve_app.host.extras import how_to_install
from serve_app.logs import EventLogger

if TYPE_CHECKING:
    from serve_app.tracing.open_telemetry import Tracing

logger = EventLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_DISABLED = "OTEL_SDK_DISABLED"


class RequestSpan:
    """The span of a request; one of this class itself is of a request that is not traced.

    ``traceparent`` names it to the spans of its stages (W3C Trace Context), in this process and in others.
    """

    traceparent: str | None = None

    def end(self, attributes: Mapping[str, str | int]) -> None:
        """The request was answered. A span that is never ended is not exported."""


NOT_TRACED = RequestSpan()

_tracing: Tracing | None = None


def start_tracing(component: str) -> None:
    """Trace what this process does from now on, as ``component`` of the service, if there is an endpoint for it.

    A wrong variable or a missing library costs the traces, which a line tells, and nothing else.
    """
    global _tracing  # noqa: PLW0603 - a process has one exporter
    if _tracing is not None or not any(map(os.environ.get, _ENDPOINTS)):
        return
    if os.environ.get(_DISABLED, "").strip().lower() == "true":
        return
    try:
        from serve_app.tracing.open_telemetry import Tracing

        _tracing = Tracing(component)
    except ImportError as error:
        text = (
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, and there are no traces, because {error.name} is not installed: "
            f"{how_to_install('otel')}"
        )
        logger.warning("tracing_not_installed", text, library=error.name)
    except Exception as error:  # the SDK and its plugins say by any exception that a variable is wrong
        why = str(error) or "for no reason that it tells"
        text = f"there are no traces, because OpenTelemetry does not start; see the variables OTEL_…: {why}"
        logger.warning("tracing_impossible", text, why=why)


def stop_tracing() -> None:
    """Export the spans that wait, which may take seconds; there are none from now on."""
    global _tracing
    ending, _tracing = _tracing, None
    if ending is not None:
        ending.close()


def begin_request(name: str, headers: Mapping[str, str]) -> RequestSpan:
    """The span of a request that arrives now, below the one that its ``traceparent`` header names."""
    return NOT_TRACED if _tracing is None else _tracing.begin_request(name, headers)
