"""The endpoint, case by case, over in-process ports: what is answered, and what was not even read."""

from __future__ import annotations

import asyncio
import base64
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from serve_app.clip.fake import FAKE_NOTICE, FakeEngine
from serve_app.domain import (
    LANE_HEADER,
    DeadlineExceededError,
    Lane,
    ModelIdentity,
    NotScannedError,
    OverloadedError,
    UnavailableError,
    UnscannedReason,
)
from serve_app.http.answers import Answer

if TYPE_CHECKING:
    from tests.unit.conftest import Service

GREEN, RED = (0, 255, 0), (255, 0, 0)
SCAN = "/api/v1/scan"
NOT_SCANNED = [
    (DeadlineExceededError, "deadline"),
    (OverloadedError, "overloaded"),
    (UnavailableError, "unavailable"),
]
WHOLE_BODY_UNREAD = "the body was asked for"


def answered(response: httpx.Response, status: int) -> dict[str, Any]:
    """The answer, which has the same shape whatever it says."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    answer: dict[str, Any] = response.json()
    assert answer.keys() == Answer.model_fields.keys()
    assert answer["request_id"]
    assert response.headers["x-request-id"] == answer["request_id"]
    assert answer["message"]
    assert ("retry-after" in response.headers) == (status == 503)
    return answer


async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
    """As pict-rs sends: no Content-Length."""
    for chunk in chunks:
        yield chunk


async def unreadable(*chunks: bytes) -> AsyncIterator[bytes]:
    """These chunks may be read, and nothing after them."""
    for chunk in chunks:
        yield chunk
    raise AssertionError(WHOLE_BODY_UNREAD)


def multipart(content: bytes, name: str = "file", boundary: str = "edge") -> tuple[bytes, dict[str, str]]:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="p.png"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


# Verdicts


async def test_a_harmless_picture_is_kept(service: Service, draw: Callable[..., bytes]) -> None:
    answer = answered(await service.scan(draw("white")), 200)
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
    answer = answered(await service.scan(draw(GREEN)), 200)
    assert (answer["verdict"], answer["rule"], answer["message"]) == ("flag", "look-at-green", "It is green.")
    assert service.ledger.recorded[0].kept


async def test_a_rejected_picture_is_not_kept_and_the_answer_explains_it(
    service: Service, draw: Callable[..., bytes]
) -> None:
    answer = answered(await service.scan(draw(RED)), 406)
    assert (answer["verdict"], answer["rule"], answer["message"]) == ("reject", "no-red", "It is red.")
    assert (answer["scores"], answer["margin"]) == ({"red": 1.0, "green": -0.5}, 0.5)
    assert answer["notice"] == FAKE_NOTICE
    assert not service.ledger.recorded[0].kept


@pytest.mark.parametrize("encoding", ["PNG", "JPEG", "GIF", "WEBP", "AVIF"])
async def test_the_declared_type_is_not_trusted(service: Service, draw: Callable[..., bytes], encoding: str) -> None:
    for declared in ("image/tiff", "text/html", "application/x-www-form-urlencoded", "not a type"):
        response = await service.scan(draw(RED, encoding=encoding), headers={"content-type": declared})
        assert answered(response, 406)["rule"] == "no-red"


async def test_a_declared_picture_type_makes_no_picture(service: Service) -> None:
    response = await service.scan(b"<svg/>", headers={"content-type": "image/png"})
    assert answered(response, 415)["reason"] == "unsupported"


async def test_a_chunked_body_is_put_together(service: Service, draw: Callable[..., bytes]) -> None:
    body = draw(RED)
    response = await service.scan(chunked(body[:1], b"", body[1:50], body[50:]))
    assert "content-length" not in response.request.headers
    assert answered(response, 406)["rule"] == "no-red"


# What can never be scanned


@pytest.mark.parametrize("on_unscanned", ["reject", "accept"])
async def test_what_can_never_be_scanned_is_refused_whatever_is_configured(
    make_service: Callable[..., Service], draw: Callable[..., bytes], on_unscanned: str
) -> None:
    service = make_service(on_unscanned=on_unscanned)
    cases = [
        (draw(RED)[:50], 422, "undecodable"),
        (b"hello, this is no picture", 415, "unsupported"),
        (draw("white", size=(1001, 1000)), 413, "too_large"),
    ]
    for body, status, reason in cases:
        answer = answered(await service.scan(body), status)
        assert (answer["verdict"], answer["reason"], answer["scores"]) == (None, reason, None)
        decision = service.ledger.recorded[-1]
        assert (decision.outcome, decision.kept) == (UnscannedReason(reason), False)


async def test_a_declared_length_over_the_limit_is_refused_unread(make_service: Callable[..., Service]) -> None:
    service = make_service(limits={"max_body_bytes": 100})
    response = await service.scan(unreadable(), headers={"content-length": "101"})
    assert answered(response, 413)["reason"] == "too_large"
    assert response.headers["connection"] == "close"
    assert service.preprocessor.calls == 0


async def test_a_chunked_body_over_the_limit_is_read_up_to_it(make_service: Callable[..., Service]) -> None:
    service = make_service(limits={"max_body_bytes": 100})
    response = await service.scan(unreadable(b"x" * 60, b"x" * 41))
    assert answered(response, 413)["reason"] == "too_large"
    assert response.headers["connection"] == "close"
    assert service.preprocessor.calls == 0


@pytest.mark.parametrize("declared", ["5", "-5", "many", "", "9" * 30])
async def test_a_declared_length_is_no_promise(make_service: Callable[..., Service], declared: str) -> None:
    service = make_service(limits={"max_body_bytes": 100})
    response = await service.scan(unreadable(b"x" * 101), headers={"content-length": declared})
    assert answered(response, 413)["reason"] == "too_large"


async def test_a_body_at_the_limit_is_looked_at(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    body = draw("white")
    service = make_service(limits={"max_body_bytes": len(body)})
    answered(await service.scan(body), 200)
    answered(await service.scan(chunked(body)), 200)


@pytest.mark.parametrize("content", [b"", None])
async def test_an_empty_body_is_a_wrong_request(service: Service, content: bytes | None) -> None:
    assert answered(await service.scan(content), 400)["reason"] == "empty_body"
    assert answered(await service.scan(chunked(b"", b"")), 400)["reason"] == "empty_body"
    assert service.ledger.recorded == []


async def test_a_sender_that_stalls_is_given_up(make_service: Callable[..., Service]) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"\x89PNG"
        await asyncio.Event().wait()

    service = make_service(deadline_s=0.05, on_unscanned="accept")
    response = await service.scan(stalling())
    assert answered(response, 503)["reason"] == "deadline"
    assert response.headers["connection"] == "close", "half a request is still on the connection"
    assert service.preprocessor.calls == 0


async def test_a_sender_that_leaves_is_no_fault_of_ours(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    said = iter([{"type": "http.request", "body": b"\x89PNG", "more_body": True}, {"type": "http.disconnect"}])

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


# Authentication


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("which", ["secret", "other_secret"])
async def test_a_secret_may_come_in_three_places(service: Service, draw: Callable[..., bytes], which: str) -> None:
    body, secret = draw("white"), getattr(service, which)
    places: list[tuple[str, dict[str, str]]] = [
        (f"{SCAN}/{secret}", {}),
        (SCAN, basic("pict-rs", secret)),
        (f"{SCAN}/my-instance", basic("", secret)),
        (SCAN, {"authorization": f"Bearer {secret}"}),
        (f"{SCAN}/my-instance", {"authorization": f"bearer {secret} "}),
    ]
    for path, headers in places:
        answered(await service.scan(body, path, headers=headers), 200)


async def test_user_and_password_in_the_url_are_basic(service: Service, draw: Callable[..., bytes]) -> None:
    url = f"http://pictwarden:{service.secret}@pictwarden{SCAN}/my-instance"
    answered(await service.scan(draw("white"), url), 200)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (SCAN, {}),
        (f"{SCAN}/wrong", {}),
        (f"{SCAN}/a-secret-of-the-test", {}),
        (f"{SCAN}/A-SECRET-OF-THE-TESTS", {}),
        (f"{SCAN}/a-secret-of-the-tests,%20its-successor-at-night", {}),
        (f"{SCAN}/geheimnis-ü-%F0%9F%94%91", {}),
        (f"{SCAN}?secret=a-secret-of-the-tests", {}),
        (SCAN, {"authorization": "Bearer wrong"}),
        (SCAN, {"authorization": "Bearer"}),
        (SCAN, {"authorization": ""}),
        (SCAN, {"authorization": "a-secret-of-the-tests"}),
        (SCAN, {"authorization": "Digest a-secret-of-the-tests"}),
        (SCAN, basic("a-secret-of-the-tests", "wrong")),
        (SCAN, {"authorization": "Basic not base64"}),
        (SCAN, {"authorization": "Basic /w=="}),
        (SCAN, {b"authorization": "Basic ü".encode()}),
        (SCAN, {b"authorization": b"Bearer \xff\xfe"}),
        (f"{SCAN}/IPADDR", {}),
    ],
)
async def test_without_a_secret_the_body_is_not_read(service: Service, path: str, headers: dict[str, str]) -> None:
    response = await service.scan(unreadable(), path, headers=headers)
    assert answered(response, 401)["reason"] == "unauthorised"
    assert response.headers["connection"] == "close"
    assert response.headers["www-authenticate"] == 'Basic realm="pictwarden"'
    assert service.ledger.recorded == []


TRUSTING = {"authentication": {"trust_private_addresses": True}}


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.9", "172.31.255.1", "192.168.1.4", "169.254.7.7"),
        *("::1", "fd00::5", "fe80::1%eth0", "::ffff:10.0.0.1"),
    ],
)
async def test_a_private_address_is_trusted_where_that_is_configured(
    make_service: Callable[..., Service], draw: Callable[..., bytes], address: str
) -> None:
    trusting, cautious = make_service(**TRUSTING), make_service()
    answered(await trusting.scan(draw("white"), f"{SCAN}/IPADDR", address=address), 200)
    answered(await cautious.scan(unreadable(), f"{SCAN}/IPADDR", address=address), 401)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "172.32.0.1", "192.169.0.1", "11.0.0.1", "100.64.0.1", "100.127.255.254", "100.100.100.100"),
        *("2606:4700::1", "::ffff:8.8.8.8", "::ffff:100.64.0.1", "2002:808:808::1"),
        *("garbage", "", "10.0.0.1 ", "10.0.0.999", "localhost", None),
    ],
)
async def test_another_address_is_not(make_service: Callable[..., Service], address: str | None) -> None:
    service = make_service(**TRUSTING)
    answered(await service.scan(unreadable(), f"{SCAN}/IPADDR", address=address), 401)


async def test_a_private_address_helps_only_who_asks_for_it(make_service: Callable[..., Service]) -> None:
    service = make_service(**TRUSTING)
    for path in (SCAN, f"{SCAN}/wrong", f"{SCAN}/ipaddr"):
        answered(await service.scan(unreadable(), path, address="10.0.0.1"), 401)


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
async def test_what_a_client_says_of_its_address_is_not_believed(
    make_service: Callable[..., Service], draw: Callable[..., bytes], header: str
) -> None:
    service = make_service(**TRUSTING)
    path = f"{SCAN}/IPADDR"
    answered(await service.scan(unreadable(), path, address="8.8.8.8", headers={header: "10.0.0.1"}), 401)
    answered(await service.scan(draw("white"), path, address="10.0.0.1", headers={header: "8.8.8.8"}), 200)


# Routes


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [SCAN, f"{SCAN}/a-secret-of-the-tests", f"{SCAN}/wrong", f"{SCAN}/IPADDR"])
async def test_only_post_is_answered_on_the_scan_path(service: Service, method: str, path: str) -> None:
    response = await service.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    if method != "HEAD":
        assert answered(response, 405)["reason"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/", "/api/v1", "/api/v2/scan/a-secret-of-the-tests", f"{SCAN}/", f"{SCAN}/a-secret-of-the-tests/"]
)
async def test_an_unknown_path_is_not_found_and_never_redirected(service: Service, path: str) -> None:
    for method in ("GET", "POST"):
        assert answered(await service.request(method, path), 404)["reason"] == "not_found"


async def test_the_api_is_described(service: Service) -> None:
    assert "swagger" in (await service.request("GET", "/docs")).text.lower()
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
    answered(await service.scan(draw(), headers=headers), 200)
    assert service.scorer.lanes == [lane]


async def test_a_lane_that_there_is_not_is_a_malformed_request(service: Service, draw: Callable[..., bytes]) -> None:
    answer = answered(await service.scan(draw(), headers={LANE_HEADER: "fast"}), 400)
    assert answer["reason"] == "malformed_request"
    assert answer["message"] == "X-Pictwarden-Lane is live or background"


# Multipart


async def test_the_file_part_is_looked_at(service: Service, draw: Callable[..., bytes]) -> None:
    files = {"note": (None, b"hello"), "file": ("p.png", draw(RED), "text/plain")}
    response = await service.request("POST", f"{SCAN}/{service.secret}", files=files)
    assert answered(response, 406)["rule"] == "no-red"
    content, headers = multipart(draw("white"))
    answered(await service.scan(chunked(content[:70], content[70:]), headers=headers), 200)


async def test_a_file_part_over_the_limit_is_too_large(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    body = draw("white")
    exact, tight = (make_service(limits={"max_body_bytes": limit}) for limit in (len(body), len(body) - 1))
    content, headers = multipart(body)
    answered(await exact.scan(content, headers=headers), 200)
    response = await tight.scan(content, headers=headers)
    assert answered(response, 413)["reason"] == "too_large"
    assert response.headers["connection"] == "close"
    huge, headers = multipart(b"x" * 100_000)
    assert answered(await tight.scan(unreadable(huge), headers=headers), 413)["reason"] == "too_large"


async def test_a_large_file_part_never_reaches_a_disk(
    service: Service, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a picture was about to be written to a file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    content, headers = multipart(draw(RED, size=(800, 700), compress_level=0))
    assert len(content) > 1_500_000
    assert answered(await service.scan(content, headers=headers), 406)["rule"] == "no-red"


BROKEN_MULTIPART = {
    "no file part": multipart(b"picture", name="photo"),
    "a file part that is a field": (
        b'--edge\r\nContent-Disposition: form-data; name="file"\r\n\r\npicture\r\n--edge--\r\n',
        {"content-type": "multipart/form-data; boundary=edge"},
    ),
    "cut off": (multipart(b"picture")[0][:-20], {"content-type": "multipart/form-data; boundary=edge"}),
    "no boundary": (multipart(b"picture")[0], {"content-type": "multipart/form-data"}),
    "another boundary": (multipart(b"picture")[0], {"content-type": "multipart/form-data; boundary=other"}),
    "no multipart at all": (b"\x89PNG\r\n\x1a\n", {"content-type": "multipart/form-data; boundary=edge"}),
    "no name": (
        b"--edge\r\nContent-Type: image/png\r\n\r\npicture\r\n--edge--\r\n",
        {"content-type": "multipart/form-data; boundary=edge"},
    ),
    "two files": (
        b"".join(
            b'--edge\r\nContent-Disposition: form-data; name="file"; filename="%d"\r\n\r\npicture\r\n' % number
            for number in range(2)
        )
        + b"--edge--\r\n",
        {"content-type": "multipart/form-data; boundary=edge"},
    ),
    "an encoding that cannot decode": (
        multipart(b"picture")[0],
        {"content-type": "multipart/form-data; boundary=edge; charset=undefined"},
    ),
    "an encoding that is none": (
        multipart(b"picture", name="photo")[0],
        {"content-type": "multipart/form-data; boundary=edge; charset=base64"},
    ),
}


@pytest.mark.parametrize("case", BROKEN_MULTIPART)
async def test_a_multipart_body_without_a_readable_file_is_a_wrong_request(service: Service, case: str) -> None:
    content, headers = BROKEN_MULTIPART[case]
    assert answered(await service.scan(content, headers=headers), 400)["reason"] == "malformed_request"
    assert service.ledger.recorded == []


async def test_an_empty_file_part_is_an_empty_body(service: Service) -> None:
    content, headers = multipart(b"")
    assert answered(await service.scan(content, headers=headers), 400)["reason"] == "empty_body"


@hypothesis_settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.sampled_from([b"--edge", b"--", b"\r\n", b"\r", b"\n", b":", b'"', b"\0", b"\xff", b"picture"])
        | st.sampled_from([b"Content-Disposition: form-data", b'; name="file"', b'; filename="p"', b"; name*=a''b"]),
        max_size=12,
    ).map(b"".join)
)
async def test_no_multipart_body_is_a_fault_of_ours(service: Service, content: bytes) -> None:
    response = await service.scan(content, headers={"content-type": "multipart/form-data; boundary=edge"})
    assert response.status_code in (400, 415), response.text


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
    service = make_service(retry_after_s=17)
    getattr(service, port).fault = error("not now")
    response = await service.scan(draw("white"))
    answer = answered(response, 503)
    assert response.headers["retry-after"] == "17"
    assert (answer["verdict"], answer["reason"], answer["message"]) == (None, reason, "not now")
    (decision,) = service.ledger.recorded
    assert (decision.outcome, decision.kept) == (UnscannedReason(reason), False)


@pytest.mark.parametrize(("error", "reason"), NOT_SCANNED)
async def test_what_was_not_scanned_is_kept_and_remembered_where_that_is_configured(
    make_service: Callable[..., Service], draw: Callable[..., bytes], error: type[NotScannedError], reason: str
) -> None:
    service = make_service(on_unscanned="accept")
    service.scorer.fault = error("not now")
    answer = answered(await service.scan(draw(RED)), 200)
    assert (answer["verdict"], answer["reason"]) == (None, reason)
    assert answer["notice"] == FAKE_NOTICE
    (decision,) = service.ledger.recorded
    assert (decision.outcome, decision.kept) == (UnscannedReason(reason), True)
    assert decision.request_id == answer["request_id"]


async def test_a_scorer_that_hangs_is_answered_for(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(deadline_s=0.05)
    service.scorer.hangs = True
    assert answered(await service.scan(draw("white")), 503)["reason"] == "deadline"


# Request ids, faults, probes


async def test_a_request_has_one_name_in_header_body_and_ledger(service: Service, draw: Callable[..., bytes]) -> None:
    body = draw("white")
    answers = [
        answered(await service.scan(body, headers={"x-request-id": "chosen-by-the-client"}), 200) for _ in range(3)
    ]
    names = [answer["request_id"] for answer in answers]
    assert len(set(names)) == 3
    assert "chosen-by-the-client" not in names
    assert [decision.request_id for decision in service.ledger.recorded] == names


async def test_errors_have_names_of_their_own_too(service: Service) -> None:
    responses = [
        answered(await service.scan(b"", path), status)
        for path, status in [(f"{SCAN}/{service.secret}", 400), (SCAN, 401), ("/nowhere", 404)] * 2
    ]
    assert len({answer["request_id"] for answer in responses}) == 6


async def test_a_fault_of_ours_is_logged_and_not_explained(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    service.ledger.fault = RuntimeError("password=hunter2")
    response = await service.scan(draw("white"))
    answer = answered(response, 500)
    assert answer["reason"] == "internal"
    assert "hunter2" not in response.text
    assert "hunter2" in caplog.text
    assert answer["request_id"] in caplog.text


async def test_a_fault_while_looking_is_not_explained_either(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    service.scorer.fault = RuntimeError("password=hunter2")
    response = await service.scan(draw("white"))
    assert answered(response, 503)["reason"] == "unavailable"
    assert "hunter2" not in response.text
    assert "hunter2" in caplog.text


async def test_the_process_answers_before_a_scorer_does(service: Service) -> None:
    service.scorer.asleep = UnavailableError("starting")
    assert (await service.request("GET", "/healthz")).status_code == 200


async def test_ready_only_when_a_scorer_is_warm(service: Service) -> None:
    service.scorer.asleep = UnavailableError("starting")
    answer = answered(await service.request("GET", "/readyz"), 503)
    assert (answer["reason"], answer["message"]) == ("unavailable", "starting")
    service.scorer.asleep = None
    answer = answered(await service.request("GET", "/readyz"), 200)
    assert (answer["reason"], answer["verdict"]) == ("ready", None)
    assert answer["model"] == str(service.scorer.engine.identity)
    assert answer["policy"] == str(service.policy)
    assert answer["notice"] == FAKE_NOTICE


async def test_never_ready_with_a_model_that_is_not_the_policys(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FakeEngine(service.policy.labels)
    engine.identity = ModelIdentity("another", "1" * 64, 8)
    service.scorer.engine = engine
    answer = answered(await service.request("GET", "/readyz"), 503)
    assert answer["reason"] == "unavailable"
    assert "'another'" in caplog.text


# Overload


async def full(service: Service, draw: Callable[..., bytes], count: int = 64) -> list[asyncio.Task[httpx.Response]]:
    """As many pictures inside as are let in; each hangs in the preprocessor."""
    service.preprocessor.hangs = True
    inside = [asyncio.create_task(service.scan(draw("white", (16, 16 + number)))) for number in range(count)]
    while service.preprocessor.calls < count:
        service.preprocessor.entered.clear()
        await service.preprocessor.entered.wait()
    return inside


async def test_a_full_service_refuses_before_it_reads_the_body(service: Service, draw: Callable[..., bytes]) -> None:
    inside = await full(service, draw)
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield draw("white")

    response = await service.scan(body())
    assert answered(response, 503)["reason"] == "overloaded"
    assert response.headers["retry-after"] == "30"
    assert "connection" not in response.headers
    assert read == 0
    service.preprocessor.release.set()
    assert {each.status_code for each in await asyncio.gather(*inside)} == {200}
    answered(await service.scan(draw("white", (16, 100))), 200)


async def test_what_a_full_service_lets_through_is_remembered(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(on_unscanned="accept")
    inside = await full(service, draw)
    assert answered(await service.scan(draw("white", (16, 100))), 200)["reason"] == "overloaded"
    assert [each.outcome for each in service.ledger.recorded] == [UnscannedReason.OVERLOADED]
    service.preprocessor.release.set()
    await asyncio.gather(*inside)
