"""Traces of one process: a span for each request and each of its stages, and none where nobody asks for them."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from serve_app.domain import Call, Deadline
from serve_app.stages import Stage, timed
from serve_app.tracing import begin_request, start_tracing, stop_tracing
from tests.unit.tracing.collector import Collector, collecting

if TYPE_CHECKING:
    from tests.unit.conftest import Service

Draw = Callable[..., bytes]

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        start_tracing("serve")
        yield collector
        stop_tracing()


async def test_a_request_and_its_stages_are_one_trace_below_the_callers(
    service: Service, draw: Draw, collector: Collector
) -> None:
    began_ns = time.time_ns()
    answer = service.answered(await service.scan(draw("red"), headers={"traceparent": SAMPLED}), 406)
    ended_ns = time.time_ns()
    stop_tracing()
    by_name = {span.name: span for span in collector.spans}
    assert len(by_name) == len(collector.spans)
    stages = {"body", "known", "recall", "preprocess", "score", "judge", "nearest", "record"}
    assert by_name.keys() == {"scan", *stages}
    request = by_name.pop("scan")
    assert (request.trace_id, request.parent_id, request.component) == (TRACE, CALLER, "serve")
    assert request.attributes == {
        "pictwarden.request_id": answer["request_id"],
        "pictwarden.source": "unnamed",
        "pictwarden.outcome": "reject",
        "http.response.status_code": 406,
    }
    for span in by_name.values():
        assert (span.trace_id, span.parent_id) == (TRACE, request.span_id)
        assert span.attributes == {"pictwarden.request_id": answer["request_id"], "pictwarden.source": "unnamed"}
    for span in collector.spans:
        assert began_ns <= span.began_ns <= span.ended_ns <= ended_ns
    sent = b"".join(collector.bodies)
    assert service.secret.encode() not in sent
    assert answer["sha256"].encode() not in sent


async def test_a_request_without_a_caller_begins_a_trace(service: Service, draw: Draw, collector: Collector) -> None:
    service.answered(await service.scan(draw("white")), 200)
    service.answered(await service.scan(b""), 400)
    stop_tracing()
    requests = [span for span in collector.spans if span.name == "scan"]
    assert [span.parent_id for span in requests] == ["", ""]
    assert [span.attributes["pictwarden.outcome"] for span in requests] == ["accept", "empty_body"]
    assert len({span.trace_id for span in requests}) == 2


async def test_strangers_and_unsampled_requests_are_not_traced(
    service: Service, draw: Draw, collector: Collector
) -> None:
    service.answered(await service.scan(draw("white"), "/api/v1/scan/a-wrong-secret-of-somebody"), 401)
    service.answered(await service.scan(draw("white"), headers={"traceparent": UNSAMPLED}), 200)
    stop_tracing()
    assert collector.spans == []


async def test_a_request_that_a_fault_or_its_cancellation_ends_is_traced_too(
    service: Service, draw: Draw, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = asyncio.Event()

    async def hangs(*_: object, **__: object) -> None:
        entered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(service.moderator, "moderate", hangs)
    waiting = asyncio.create_task(service.scan(draw("white")))
    await entered.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    async def fails(*_: object, **__: object) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(service.moderator, "moderate", fails)
    service.answered(await service.scan(draw("white")), 500)
    stop_tracing()
    told = [span.attributes for span in collector.spans if span.name == "scan"]
    assert [each["pictwarden.outcome"] for each in told] == ["cancelled", "internal"]
    assert [each["http.response.status_code"] for each in told] == [499, 500]
    assert [each["pictwarden.source"] for each in told] == ["unnamed", "unnamed"]


async def test_a_header_that_is_none_begins_a_trace(service: Service, draw: Draw, collector: Collector) -> None:
    service.answered(await service.scan(draw("white"), headers={"traceparent": "00-no-trace"}), 200)
    stop_tracing()
    assert [span.parent_id for span in collector.spans if span.name == "scan"] == [""]


def test_a_call_carries_its_trace_to_other_processes(collector: Collector) -> None:
    request = begin_request("scan", {"traceparent": SAMPLED})
    call: Call = pickle.loads(pickle.dumps(Call("r-1", Deadline.after(60.0), traceparent=request.traceparent)))
    with timed(Stage.DECODE, call):
        pass
    request.end({})
    stop_tracing()
    spans = {span.name: span for span in collector.spans}
    assert spans["decode"].parent_id == spans["scan"].span_id
    assert spans["decode"].trace_id == TRACE


async def test_a_collector_that_is_not_there_costs_no_answer(
    service: Service, draw: Draw, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting() as gone:
        endpoint = gone.environment["OTEL_EXPORTER_OTLP_ENDPOINT"]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    caplog.set_level(logging.CRITICAL, "opentelemetry")
    start_tracing("serve")
    service.answered(await service.scan(draw("white")), 200)
    stop_tracing()


@pytest.mark.parametrize(
    "environment", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}]
)
def test_without_an_endpoint_neither_sdk_nor_exporter_is_imported(environment: dict[str, str]) -> None:
    program = """
import sys
from serve_app.http.arrival import Arrival
from serve_app.tracing import begin_request, start_tracing
start_tracing("serve")
assert begin_request("scan", {}).traceparent is None
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", program], env={**kept, **environment}, check=True)


def test_a_library_that_is_missing_is_told_and_nothing_is_traced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "serve_app.tracing.open_telemetry", None)
    start_tracing("serve")
    assert begin_request("scan", {}).traceparent is None
    assert "pip install -e '.[otel]'" in caplog.text


@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_BSP_MAX_QUEUE_SIZE", "256"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096")]
)
async def test_a_wrong_variable_costs_the_traces_and_no_picture(
    service: Service,
    draw: Draw,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    value: str,
) -> None:
    """By default the queue has 2,048 spans and a batch of the exporter 512."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, value)
    start_tracing("serve")
    assert begin_request("scan", {}).traceparent is None
    assert "max_export_batch_size must be less than or equal to max_queue_size" in caplog.text
    service.answered(await service.scan(draw("white")), 200)
