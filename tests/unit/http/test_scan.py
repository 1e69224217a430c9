"""The endpoint, case by case, over in-process ports: what is answered, and what was not even read."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from serve_app.domain import (
    DeadlineExceededError,
    Lane,
    LedgerHealth,
    ModelIdentity,
    NotScannedError,
    NoWorkerError,
    OverloadedError,
    UnavailableError,
    UnscannedReason,
)
from serve_app.domain.lists import ListsHealth
from serve_app.metrics import FrontMetrics
from serve_app.models.fake import FAKE_NOTICE, FakeEngine
from serve_app.wire import LANE_HEADER

if TYPE_CHECKING:
    from tests.unit.conftest import Service

GREEN, RED = (0, 255, 0), (255, 0, 0)
SCAN = "/api/v1/scan"
NOT_SCANNED = [
    (DeadlineExceededError, "deadline"),
    (OverloadedError, "overloaded"),
    (UnavailableError, "unavailable"),
]


# Verdicts


async def test_a_harmless_picture_is_kept(service: Service, draw: Callable[..., bytes]) -> None:
    answer = service.answered(await service.scan(draw("white")), 200)
    assert (answer["verdict"], answer["reason"], answer["rule"]) == ("accept", "policy", None)
    assert answer["scores"] == {"red": 0.0, "green": 0.0}
    assert answer["margin"] == -0.5
    assert answer["view"] == {"frame": 0, "left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0}
    assert (answer["views_seen"], answer["frames_seen"], answer["frames_total"]) == (1, 1, 1)
    assert answer["model"] == str(service.scorer.engine.identity)
    assert answer["policy"] == str(service.policy)
    assert answer["notice"] == FAKE_NOTICE
    assert answer["elapsed_ms"] >= 0


async def test_a_flagged_picture_is_kept(service: Service, draw: Callable[..., bytes]) -> None:
    answer = service.answered(await service.scan(draw(GREEN)), 200)
    assert (answer["verdict"], answer["rule"], answer["message"]) == ("flag", "look-at-green", "It is green.")
    assert service.ledger.recorded[0].kept


async def test_a_rejected_picture_is_not_kept_and_the_answer_explains_it(
    service: Service, draw: Callable[..., bytes]
) -> None:
    answer = service.answered(await service.scan(draw(RED)), 406)
    assert (answer["verdict"], answer["rule"], answer["message"]) == ("reject", "no-red", "It is red.")
    assert (answer["scores"], answer["margin"]) == ({"red": 1.0, "green": -0.5}, 0.5)
    assert answer["notice"] == FAKE_NOTICE
    assert not service.ledger.recorded[0].kept


@pytest.mark.parametrize("encoding", ["PNG", "JPEG", "GIF", "WEBP", "AVIF"])
async def test_the_declared_type_is_not_trusted(service: Service, draw: Callable[..., bytes], encoding: str) -> None:
    for declared in ("image/tiff", "text/html", "application/x-www-form-urlencoded", "not a type"):
        response = await service.scan(draw(RED, encoding=encoding), headers={"content-type": declared})
        assert service.answered(response, 406)["rule"] == "no-red"


async def test_a_declared_picture_type_makes_no_picture(service: Service) -> None:
    response = await service.scan(b"<svg/>", headers={"content-type": "image/png"})
    assert service.answered(response, 415)["reason"] == "unsupported"


async def test_a_chunked_body_is_put_together(service: Service, draw: Callable[..., bytes]) -> None:
    body = draw(RED)
    response = await service.scan(service.chunked(body[:1], b"", body[1:50], body[50:]))
    assert "content-length" not in response.request.headers
    assert service.answered(response, 406)["rule"] == "no-red"


# What can never be scanned


@pytest.mark.parametrize("on_unscanned", ["reject", "accept"])
async def test_what_can_never_be_scanned_is_refused_whatever_is_configured(
    make_service: Callable[..., Service], draw: Callable[..., bytes], on_unscanned: str
) -> None:
    service = make_service(on_unscanned=on_unscanned)
    damaged = bytearray(draw(RED))
    damaged[20] ^= 0xFF  # in its header, whose checksum is then wrong
    cases = [
        (bytes(damaged), 422, "undecodable"),
        (draw(RED)[:50], 422, "truncated"),
        (b"hello, this is no picture", 415, "unsupported"),
        (draw("white", size=(1001, 1000)), 413, "too_large"),
    ]
    for body, status, reason in cases:
        answer = service.answered(await service.scan(body), status)
        assert (answer["verdict"], answer["reason"], answer["scores"]) == (None, reason, None)
        decision = service.ledger.recorded[-1]
        assert (service.reason(decision), decision.kept) == (UnscannedReason(reason), False)


async def test_a_declared_length_over_the_limit_is_refused_unread(make_service: Callable[..., Service]) -> None:
    service = make_service(limits={"max_body_bytes": 100})
    response = await service.scan(service.unreadable(), headers={"content-length": "101"})
    assert service.answered(response, 413)["reason"] == "too_large"
    assert response.headers["connection"] == "close"
    assert service.preprocessor.calls == 0


async def test_a_chunked_body_over_the_limit_is_read_up_to_it(make_service: Callable[..., Service]) -> None:
    service = make_service(limits={"max_body_bytes": 100})
    response = await service.scan(service.unreadable(b"x" * 60, b"x" * 41))
    assert service.answered(response, 413)["reason"] == "too_large"
    assert response.headers["connection"] == "close"
    assert service.preprocessor.calls == 0


@pytest.mark.parametrize("declared", ["5", "-5", "many", "", "9" * 30])
async def test_a_declared_length_is_no_promise(make_service: Callable[..., Service], declared: str) -> None:
    service = make_service(limits={"max_body_bytes": 100})
    response = await service.scan(service.unreadable(b"x" * 101), headers={"content-length": declared})
    assert service.answered(response, 413)["reason"] == "too_large"


async def test_a_body_at_the_limit_is_looked_at(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    body = draw("white")
    service = make_service(limits={"max_body_bytes": len(body)})
    service.answered(await service.scan(body), 200)
    service.answered(await service.scan(service.chunked(body)), 200)


@pytest.mark.parametrize("content", [b"", None])
async def test_an_empty_body_is_a_wrong_request(service: Service, content: bytes | None) -> None:
    assert service.answered(await service.scan(content), 400)["reason"] == "empty_body"
    assert service.answered(await service.scan(service.chunked(b"", b"")), 400)["reason"] == "empty_body"
    assert service.ledger.recorded == []


async def test_a_sender_that_stalls_is_given_up(make_service: Callable[..., Service]) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"\x89PNG"
        await asyncio.Event().wait()

    service = make_service(deadline_s=0.05, on_unscanned="accept")
    response = await service.scan(stalling())
    assert service.answered(response, 503)["reason"] == "deadline"
    assert response.headers["connection"] == "close", "half a request is still on the connection"
    assert service.preprocessor.calls == 0


async def test_a_sender_that_leaves_is_no_fault_of_ours(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    half = {"type": "http.request", "body": b"\x89PNG", "more_body": True}
    said: Iterator[dict[str, Any]] = iter([half, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return next(said)

    async def send(_: object) -> None:
        pass

    path = f"{SCAN}/{service.secret}"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    with caplog.at_level(logging.WARNING):
        await service.app({**scope, "headers": [], "client": ("127.0.0.1", 1)}, receive, send)
    assert service.preprocessor.calls == 0
    assert caplog.records == []


# Routes


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [SCAN, f"{SCAN}/a-secret-of-the-tests", f"{SCAN}/wrong", f"{SCAN}/IPADDR"])
async def test_only_post_is_answered_on_the_scan_path(service: Service, method: str, path: str) -> None:
    response = await service.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    if method != "HEAD":
        assert service.answered(response, 405)["reason"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/", "/api/v1", "/api/v2/scan/a-secret-of-the-tests", f"{SCAN}/", f"{SCAN}/a-secret-of-the-tests/"]
)
async def test_an_unknown_path_is_not_found_and_never_redirected(service: Service, path: str) -> None:
    for method in ("GET", "POST"):
        assert service.answered(await service.request(method, path), 404)["reason"] == "not_found"


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/static-offline-docs/swagger-ui.css"])
async def test_the_api_is_described_to_nobody_unless_a_setting_opens_it(service: Service, path: str) -> None:
    assert service.answered(await service.request("GET", path), 404)["reason"] == "not_found"


async def test_the_page_that_describes_the_api_loads_nothing_from_elsewhere(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(docs=True)
    page = (await service.request("GET", "/docs")).text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) == 3
    for url in loaded:
        assert url.startswith("/"), url
        assert not url.startswith("//"), url
        assert (await service.request("GET", url)).status_code == 200
    assert "://" not in page


async def test_the_api_is_described(make_service: Callable[..., Service]) -> None:
    service = make_service(docs=True)
    described = (await service.request("GET", "/openapi.json")).json()
    statuses = {"200", "400", "401", "406", "413", "415", "422", "503"}
    for path in (SCAN, f"{SCAN}/{{secret}}"):
        assert set(described["paths"][path]) == {"post"}
        operation = described["paths"][path]["post"]
        assert statuses <= operation["responses"].keys()
        bodies = {str(operation["responses"][status]["content"]["application/json"]) for status in statuses}
        assert len(bodies) == 1, "one shape for all"
        places = [parameter["in"] for parameter in operation.get("parameters", [])]
        assert places == (["path", "header"] if "{" in path else ["header"])
    assert {"/healthz", "/readyz"} <= described["paths"].keys()


# Lanes


@pytest.mark.parametrize(
    ("headers", "lane"),
    [({}, Lane.LIVE), ({LANE_HEADER: "live"}, Lane.LIVE), ({LANE_HEADER: " Background "}, Lane.BACKGROUND)],
)
async def test_a_header_names_the_lane(
    service: Service, draw: Callable[..., bytes], headers: dict[str, str], lane: Lane
) -> None:
    service.answered(await service.scan(draw(), headers=headers), 200)
    assert service.scorer.lanes == [lane]


async def test_a_lane_that_there_is_not_is_a_malformed_request(service: Service, draw: Callable[..., bytes]) -> None:
    answer = service.answered(await service.scan(draw(), headers={LANE_HEADER: "fast"}), 400)
    assert answer["reason"] == "malformed_request"
    assert answer["message"] == "unknown lane in X-Pictwarden-Lane; it must be live or background"


# Unscanned


@pytest.mark.parametrize(("error", "reason"), NOT_SCANNED)
@pytest.mark.parametrize("port", ["preprocessor", "scorer"])
async def test_what_was_not_scanned_is_refused_for_now(
    make_service: Callable[..., Service],
    draw: Callable[..., bytes],
    port: str,
    error: type[NotScannedError],
    reason: str,
) -> None:
    service = make_service()
    getattr(service, port).fault = error("not now")
    response = await service.scan(draw("white"))
    answer = service.answered(response, 503)
    assert response.headers["retry-after"] == "30"
    assert (answer["verdict"], answer["reason"], answer["message"]) == (None, reason, "not now")
    (decision,) = service.ledger.recorded
    assert (service.reason(decision), decision.kept) == (UnscannedReason(reason), False)


@pytest.mark.parametrize(("error", "reason"), NOT_SCANNED)
async def test_what_was_not_scanned_is_kept_and_remembered_where_that_is_configured(
    make_service: Callable[..., Service], draw: Callable[..., bytes], error: type[NotScannedError], reason: str
) -> None:
    service = make_service(on_unscanned="accept")
    service.scorer.fault = error("not now")
    answer = service.answered(await service.scan(draw(RED)), 200)
    assert (answer["verdict"], answer["reason"]) == (None, reason)
    assert answer["notice"] == FAKE_NOTICE
    (decision,) = service.ledger.recorded
    assert (service.reason(decision), decision.kept) == (UnscannedReason(reason), True)
    assert decision.request_id == answer["request_id"]


async def test_a_scorer_that_hangs_is_answered_for(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(deadline_s=0.05)
    service.scorer.hangs = True
    assert service.answered(await service.scan(draw("white")), 503)["reason"] == "deadline"


# Request ids, faults, probes


async def test_a_request_has_one_name_in_header_body_and_ledger(service: Service, draw: Callable[..., bytes]) -> None:
    body = draw("white")
    answers = [
        service.answered(await service.scan(body, headers={"x-request-id": "chosen-by-the-client"}), 200)
        for _ in range(3)
    ]
    names = [answer["request_id"] for answer in answers]
    assert len(set(names)) == 3
    assert "chosen-by-the-client" not in names
    assert [decision.request_id for decision in service.ledger.recorded] == names


async def test_errors_have_names_of_their_own_too(service: Service) -> None:
    responses = [
        service.answered(await service.scan(b"", path), status)
        for path, status in [(f"{SCAN}/{service.secret}", 400), (SCAN, 401), ("/nowhere", 404)] * 2
    ]
    assert len({answer["request_id"] for answer in responses}) == 6


async def test_a_fault_of_ours_is_logged_and_not_explained(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(service.moderator, "moderate", fail)
    response = await service.scan(draw("white"))
    answer = service.answered(response, 500)
    assert answer["reason"] == "internal"
    assert "hunter2" not in response.text
    assert "hunter2" in caplog.text
    assert answer["request_id"] in caplog.text


async def test_a_fault_while_looking_is_not_explained_either(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    service.scorer.fault = RuntimeError("password=hunter2")
    response = await service.scan(draw("white"))
    assert service.answered(response, 503)["reason"] == "unavailable"
    assert "hunter2" not in response.text
    assert "hunter2" in caplog.text


async def test_the_process_answers_before_a_scorer_does(service: Service) -> None:
    service.scorer.asleep = UnavailableError("starting")
    assert (await service.request("GET", "/healthz")).status_code == 200


async def test_ready_only_when_a_scorer_is_warm(service: Service) -> None:
    service.scorer.asleep = UnavailableError("starting")
    answer = service.answered(await service.request("GET", "/readyz"), 503)
    assert (answer["reason"], answer["message"]) == ("unavailable", "starting")
    service.scorer.asleep = None
    answer = service.answered(await service.request("GET", "/readyz"), 200)
    assert (answer["reason"], answer["verdict"]) == ("ready", None)
    assert answer["model"] == str(service.scorer.engine.identity)
    assert answer["policy"] == str(service.policy)
    assert answer["notice"] == FAKE_NOTICE


@pytest.mark.parametrize(("on_unscanned", "status"), [("accept", 200), ("reject", 503)])
async def test_ready_while_all_workers_are_on_trial_where_pictures_are_stored_then(
    make_service: Callable[..., Service], on_unscanned: str, status: int
) -> None:
    service = make_service(on_unscanned=on_unscanned, remote={})
    service.scorer.asleep = DeadlineExceededError("no worker has passed its trial yet")
    answer = service.answered(await service.request("GET", "/readyz"), status)
    assert answer["message"].startswith("no worker has passed its trial yet")


@pytest.mark.parametrize(
    ("on_unscanned", "error", "status"),
    [
        ("accept", NoWorkerError("no worker is connected"), 200),
        ("reject", NoWorkerError("no worker is connected"), 503),
        ("accept", UnavailableError("starting"), 503),
    ],
)
async def test_ready_without_a_worker_where_pictures_are_stored_then(
    make_service: Callable[..., Service], on_unscanned: str, error: UnavailableError, status: int
) -> None:
    service = make_service(on_unscanned=on_unscanned)
    service.scorer.asleep = error
    answer = service.answered(await service.request("GET", "/readyz"), status)
    assert answer["message"].startswith(str(error))


async def test_never_ready_with_a_model_that_is_not_the_policys(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FakeEngine(service.policy.labels)
    engine.identity = ModelIdentity("another", "1" * 64, 8)
    service.scorer.engine = engine
    answer = service.answered(await service.request("GET", "/readyz"), 503)
    assert answer["reason"] == "unavailable"
    assert "'another'" in caplog.text


async def test_what_is_stale_is_told_and_makes_nobody_unready(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = service.answered(await service.request("GET", "/readyz"), 200)
    assert ready["message"] == "a scorer is warm"
    ledger = LedgerHealth("cannot be written", spooled=7, dropped=2, spool_bytes=999, lag_s=81.4)
    lists = ListsHealth(version=3, age_s=83.6, suspended=1, problem="cannot be read, and may be outdated")
    monkeypatch.setattr(service.ledger, "health", lambda: ledger)
    monkeypatch.setattr(type(service.moderator), "lists_health", lists)
    monkeypatch.setattr(type(service.guard), "unusable", ("PICTWARDEN_SECRETS_FILE", "B_FILE"))
    answer = service.answered(await service.request("GET", "/readyz"), 200)
    assert answer["message"] == (
        "a scorer is warm, but the ledger cannot be written: 7 decisions wait in its spool; the spool was last empty "
        "81 s ago; 2 decisions were not recorded in time since the start; the lists cannot be read, and may be "
        "outdated; the lists were last read 84 s ago; the former secrets count, since PICTWARDEN_SECRETS_FILE, B_FILE "
        "cannot be used: see the log"
    )


async def test_replicas_that_stand_still_are_told(make_service: Callable[..., Service], metrics: FrontMetrics) -> None:
    service = make_service(metrics=metrics)
    metrics.silent_replicas = lambda: ["Preprocessor-a", "ClipScorer-b"]
    answer = service.answered(await service.request("GET", "/readyz"), 200)
    assert answer["message"] == "a scorer is warm; no metrics recently from Preprocessor-a, ClipScorer-b"
