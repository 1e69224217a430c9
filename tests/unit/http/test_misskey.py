"""Misskey's detector API, as Misskey's client speaks it (docs/misskey.md)."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from serve_app.domain import (
    DeadlineExceededError,
    OverloadedError,
    PictwardenError,
    RequestError,
    UnavailableError,
    UnscannedError,
)
from serve_app.http.routes.misskey import CODES, STATUSES
from serve_app.misskey_api import MAX_DETECT_BODY_BYTES, MAX_PART_BYTES, MAX_PARTS, OUTPUT_BY_CLASS, ErrorCode
from serve_app.models.fake import FakeEngine
from serve_app.wire import LANE_HEADER
from tests.unit.colour_classifier import ColourClassifier

if TYPE_CHECKING:
    from tests.unit.conftest import Service

GOLDEN = Path(__file__).parents[2] / "golden" / "misskey" / "detect-images.http"
DETECT, HEALTH = "/misskey/v1/detect-images", "/misskey/health"
RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
CLASS_OF = {RED: "Porn", GREEN: "Neutral", BLUE: "Drawing"}


@pytest.fixture
def misskey(make_service: Callable[..., Service]) -> Callable[..., Service]:
    """A service that answers Misskey."""

    def make(**args: Any) -> Service:
        service = make_service(**{"misskey": {"classifier": "nsfwjs"}} | args)
        labels = [*service.policy.labels, *(f"nsfwjs/{each}" for each in OUTPUT_BY_CLASS.values())]
        service.scorer.engine = ColourClassifier(labels)
        return service

    return make


@pytest.fixture
def service(misskey: Callable[..., Service]) -> Service:
    return misskey()


def headers_of(service: Service, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {service.misskey_secret}"} | more


async def detect(service: Service, files: list[Any], **headers: str) -> httpx.Response:
    """As a form sends ``files``: pairs of a name and ``(file name, content, media type)``."""
    return await service.request("POST", DETECT, files=files, headers=headers_of(service, **headers))


def images(*contents: bytes) -> list[Any]:
    """As Misskey's client names them."""
    return [(f"image{at}", (f"{at}.png", content, "image/png")) for at, content in enumerate(contents)]


def results_of(response: httpx.Response, length: int) -> list[dict[str, Any]]:
    """The results, which are as many as the parts, and each is of one of the two shapes."""
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer.keys() == {"success", "result"}
    assert answer["success"] is True
    assert answer["result"].keys() == {"results"}
    results: list[dict[str, Any]] = answer["result"]["results"]
    assert len(results) == length
    for each in results:
        if each["success"]:
            assert each.keys() == {"success", "predictions"}
            assert {one["className"] for one in each["predictions"]} == set(OUTPUT_BY_CLASS)
            probabilities = [one["probability"] for one in each["predictions"]]
            assert all(0 <= one <= 1 for one in probabilities)
            assert probabilities == sorted(probabilities, reverse=True)
        else:
            assert each.keys() == {"success", "error"}
            assert each["error"].keys() == {"code", "message"}
            assert each["error"]["code"] in set(ErrorCode)
            assert each["error"]["message"]
    return results


def top_class(result: dict[str, Any]) -> str:
    assert result["success"], result
    first: str = result["predictions"][0]["className"]
    return first


def refused(response: httpx.Response, status: int, code: ErrorCode, reason: str | None = None) -> None:
    """The whole request is refused, in the shape that Misskey reads."""
    assert response.status_code == status, response.text
    answer = response.json()
    assert answer["success"] is False
    assert answer["error"].keys() == {"code", "message"}
    assert answer["error"]["code"] == code
    assert answer["error"]["message"]
    assert answer.get("reason") == reason
    assert "result" not in answer
    assert response.headers["x-request-id"]
    assert ("retry-after" in response.headers) == (status == 503)


# The contract


async def test_a_request_of_misskeys_client_is_answered(service: Service) -> None:
    """Recorded of node-fetch 3.3.2 and its FormData, with which Misskey sends."""
    head, _, body = GOLDEN.read_bytes().partition(b"\r\n\r\n")
    request, *lines = head.decode("ascii").split("\r\n")
    assert request == f"POST {DETECT} HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["authorization"] == f"Bearer {service.misskey_secret}"
    assert headers["content-length"] == str(len(body))
    response = await service.request("POST", DETECT, content=body, headers=headers)
    assert response.headers["content-type"] == "application/json"
    assert [top_class(each) for each in results_of(response, 3)] == ["Porn", "Neutral", "Drawing"]


async def test_the_same_request_in_pieces_is_answered_alike(service: Service) -> None:
    head, _, body = GOLDEN.read_bytes().partition(b"\r\n\r\n")
    content_type = next(line for line in head.decode().split("\r\n") if line.startswith("content-type"))
    for piece_bytes in (1, 7, 1000):
        pieces = (body[at : at + piece_bytes] for at in range(0, len(body), piece_bytes))
        headers = headers_of(service, **{"content-type": content_type.partition(": ")[2]})
        response = await service.request("POST", DETECT, content=service.chunked(*pieces), headers=headers)
        assert [top_class(each) for each in results_of(response, 3)] == ["Porn", "Neutral", "Drawing"]


@pytest.mark.parametrize("encoding", ["PNG", "JPEG", "GIF", "BMP"])
async def test_the_four_types_are_looked_at(service: Service, draw: Callable[..., bytes], encoding: str) -> None:
    declared = f"image/{encoding.lower()}"
    response = await detect(service, [("any", ("name", draw(RED, encoding=encoding), declared))])
    (result,) = results_of(response, 1)
    assert top_class(result) == "Porn"


async def test_the_same_name_may_be_repeated_and_ten_parts_are_taken(
    service: Service, draw: Callable[..., bytes]
) -> None:
    colours = [(RED, GREEN, BLUE)[at % 3] for at in range(MAX_PARTS)]
    response = await detect(service, [("image", ("0.png", draw(each), "image/png")) for each in colours])
    assert [top_class(each) for each in results_of(response, MAX_PARTS)] == [CLASS_OF[each] for each in colours]


# Whole requests that are refused


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Bearer a-secret-of-the-tests", "Basic bTphLXNlY3JldC1vZi1taXNza2V5"],
)
async def test_without_the_secret_the_body_is_not_read(service: Service, authorization: str | None) -> None:
    headers = {"content-length": str(10**12)} | ({} if authorization is None else {"authorization": authorization})
    response = await service.request("POST", DETECT, content=service.unreadable(), headers=headers)
    refused(response, 401, ErrorCode.AUTHENTICATION_REQUIRED)
    assert response.headers["connection"] == "close"
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_misskeys_secret_permits_nothing_else(service: Service, draw: Callable[..., bytes]) -> None:
    service.answered(await service.scan(draw("white"), f"/api/v1/scan/{service.misskey_secret}"), 401)
    service.answered(await service.scan(draw("white"), "/api/v1/scan", headers=headers_of(service)), 401)


MULTIPART = "multipart/form-data; boundary=edge"


@pytest.mark.parametrize("content_type", [MULTIPART, "image/png", "application/json", ""])
async def test_a_body_that_is_too_long_is_too_long_whatever_it_is(service: Service, content_type: str) -> None:
    headers = headers_of(service, **{"content-type": content_type})
    declared = headers | {"content-length": str(MAX_DETECT_BODY_BYTES + 1)}
    response = await service.request("POST", DETECT, content=service.unreadable(), headers=declared)
    refused(response, 413, ErrorCode.REQUEST_TOO_LARGE)
    pieces = [b"--edge\r\n\r\n", *[bytes(1_000_000)] * 13]
    response = await service.request("POST", DETECT, content=service.chunked(*pieces), headers=headers)
    refused(response, 413, ErrorCode.REQUEST_TOO_LARGE)
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("content_type", ["image/png", "multipart/form-dataxxx; boundary=edge", "multipart/mixed", ""])
async def test_another_body_is_of_an_unsupported_type(service: Service, content_type: str) -> None:
    headers = headers_of(service, **{"content-type": content_type})
    for content in (b"a picture", service.chunked(b"a ", b"picture")):
        response = await service.request("POST", DETECT, content=content, headers=headers)
        refused(response, 415, ErrorCode.UNSUPPORTED_MEDIA_TYPE)


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        (MULTIPART, b""),
        (MULTIPART, b"--edge--\r\n"),
        (MULTIPART, b"no multipart at all"),
        (MULTIPART, b'--edge\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\ncut off'),
        (MULTIPART, b"--edge\r\n" + b"X: y\r\n" * 100 + b"\r\n\r\n--edge--"),
        (MULTIPART, b"--edge\r\nX: " + bytes(10_000)),
        ("multipart/form-data", b"--edge--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 1000, b"--edge--\r\n"),
    ],
)
async def test_a_body_without_a_readable_part_is_a_wrong_request(
    service: Service, content_type: str, content: bytes
) -> None:
    headers = headers_of(service, **{"content-type": content_type})
    refused(await service.request("POST", DETECT, content=content, headers=headers), 400, ErrorCode.INVALID_REQUEST)


async def test_more_than_ten_parts_are_too_many(service: Service, draw: Callable[..., bytes]) -> None:
    refused(await detect(service, images(*[draw(RED)] * (MAX_PARTS + 1))), 413, ErrorCode.REQUEST_TOO_LARGE)
    assert service.preprocessor.calls == 0

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_PARTS + 1):
            yield b'--edge\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n\r\n'
        raise AssertionError("nothing after it is asked for")

    headers = headers_of(service, **{"content-type": MULTIPART})
    refused(await service.request("POST", DETECT, content=endless(), headers=headers), 413, ErrorCode.REQUEST_TOO_LARGE)


async def test_a_fault_of_ours_is_not_explained(
    service: Service, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a path, say")

    monkeypatch.setattr("serve_app.http.parts._read_parts", fail)
    response = await detect(service, images(draw(RED)))
    refused(response, 500, ErrorCode.DETECTION_FAILED)
    assert "a path" not in response.text


def errors_of(kind: type[PictwardenError]) -> Iterator[type[PictwardenError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from errors_of(each)


def test_every_error_of_a_picture_or_a_request_has_a_code_and_every_code_a_status() -> None:
    for kind in (RequestError, UnscannedError):
        for each in errors_of(kind):
            assert each is UnscannedError or any(base in CODES for base in each.__mro__), each
    assert set(STATUSES) == set(ErrorCode)


# Parts that are refused


async def test_a_part_that_fails_leaves_the_others_alone(service: Service, draw: Callable[..., bytes]) -> None:
    picture = draw(RED)
    files = [
        ("a", ("0.png", picture, "image/png")),
        ("b", (None, picture)),
        ("c", ("2.png", picture, "text/plain")),
        ("d", ("3.png", b"", "image/png")),
        ("e", ("4.png", picture + bytes(MAX_PART_BYTES), "image/png")),
        ("f", ("5.png", draw(RED, encoding="WEBP"), "image/png")),
        ("g", ("6.png", b"no picture at all", "image/png")),
        ("h", ("7.png", picture[:-20], "image/png")),
        ("i", ("8.png", b"\x89PNG\r\n\x1a\n and nothing", "image/png")),
        ("j", ("9.jpg", draw(GREEN, encoding="JPEG"), "IMAGE/JPEG; charset=none")),
    ]
    results = results_of(await detect(service, files), len(files))
    assert [top_class(results[0]), top_class(results[9])] == ["Porn", "Neutral"]
    assert [each["error"]["code"] for each in results[1:9]] == [
        ErrorCode.INVALID_REQUEST,
        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.REQUEST_TOO_LARGE,
        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        ErrorCode.IMAGE_DECODE_FAILED,
        ErrorCode.IMAGE_DECODE_FAILED,
    ]


async def test_a_part_as_long_as_the_limit_is_taken(service: Service, draw: Callable[..., bytes]) -> None:
    # What follows the end of a PNG belongs to nobody.
    padded = draw(RED).ljust(MAX_PART_BYTES, b"\0")
    results = results_of(await detect(service, images(padded, padded + b"\0")), 2)
    assert top_class(results[0]) == "Porn"
    assert results[1]["error"]["code"] == ErrorCode.REQUEST_TOO_LARGE


async def test_more_pixels_than_the_limits_allow_are_too_large(service: Service, draw: Callable[..., bytes]) -> None:
    (result,) = results_of(await detect(service, images(draw(RED, size=(1001, 1000)))), 1)
    assert result["error"]["code"] == ErrorCode.REQUEST_TOO_LARGE


@dataclass(frozen=True)
class Sent:
    """A part of a kind, and what is expected of it: a class that is the likeliest, or a code."""

    file: tuple[Any, ...]
    expected: str


def encoded(colour: Any, encoding: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, encoding)
    return file.getvalue()


KINDS = st.sampled_from(
    [
        *(Sent(("p", encoded(colour), "image/png"), name) for colour, name in CLASS_OF.items()),
        *(Sent(("p", encoded(colour, "GIF"), "image/gif"), name) for colour, name in CLASS_OF.items()),
        Sent((None, b"a field"), ErrorCode.INVALID_REQUEST),
        Sent(("p", b"", "image/png"), ErrorCode.INVALID_REQUEST),
        Sent(("p", encoded(RED), "application/pdf"), ErrorCode.UNSUPPORTED_MEDIA_TYPE),
        Sent(("p", encoded(RED, "WEBP"), "image/png"), ErrorCode.UNSUPPORTED_MEDIA_TYPE),
        Sent(("p", b"BM begins many a text", "image/bmp"), ErrorCode.UNSUPPORTED_MEDIA_TYPE),
        Sent(("p", bytes(MAX_PART_BYTES + 1), "image/png"), ErrorCode.REQUEST_TOO_LARGE),
        Sent(("p", encoded(BLUE)[:40], "image/png"), ErrorCode.IMAGE_DECODE_FAILED),
    ]
)


@hypothesis_settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(KINDS, min_size=1, max_size=MAX_PARTS))
async def test_whatever_the_parts_the_results_are_as_many_and_in_their_order(
    service: Service, sent: list[Sent]
) -> None:
    response = await detect(service, [("image", each.file) for each in sent])
    results = results_of(response, len(sent))
    told = [top_class(each) if each["success"] else each["error"]["code"] for each in results]
    assert told == [each.expected for each in sent]


# Whose scores they are


async def test_they_are_those_of_the_whole_picture(service: Service) -> None:
    """A long picture has tiles too, and its ends are of other colours."""
    picture = Image.new("RGB", (400, 100), GREEN)
    picture.paste(RED, (0, 0, 100, 100))
    file = io.BytesIO()
    picture.save(file, "PNG")
    (result,) = results_of(await detect(service, images(file.getvalue())), 1)
    shares = {each["className"]: each["probability"] for each in result["predictions"]}
    assert shares["Neutral"] == pytest.approx(0.9 * 0.75, abs=0.05)
    assert shares["Porn"] == pytest.approx(0.9 * 0.25, abs=0.05)


async def test_of_an_animation_the_worst_frame_counts(service: Service) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (GREEN, BLUE, RED, GREEN)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=100)
    response = await detect(service, [("image0", ("0.gif", file.getvalue(), "image/gif"))])
    assert top_class(results_of(response, 1)[0]) == "Porn"


async def test_a_probability_that_is_no_number_is_none(service: Service, draw: Callable[..., bytes]) -> None:
    class Broken(ColourClassifier):
        def encode(self, staged: NDArray[np.uint8]) -> NDArray[np.float32]:
            values = super().encode(staged)
            values[staged.mean(axis=(1, 2, 3)) == 0, -1] = np.nan
            return values

    service.scorer.engine = Broken(service.scorer.engine.labels)  # type: ignore[attr-defined]
    results = results_of(await detect(service, images(draw(RED), draw(BLACK))), 2)
    assert top_class(results[0]) == "Porn"
    assert results[1]["error"]["code"] == ErrorCode.MODEL_UNAVAILABLE


async def test_a_scorer_of_other_labels_is_no_classifier(service: Service, draw: Callable[..., bytes]) -> None:
    """As a scorer of an earlier configuration, that has not been replaced yet."""
    service.scorer.engine = FakeEngine(service.policy.labels)
    response = await detect(service, images(draw(RED)))
    refused(response, 503, ErrorCode.MODEL_UNAVAILABLE, "model_unavailable")


async def test_pictures_of_pict_rs_are_judged_as_ever(service: Service, draw: Callable[..., bytes]) -> None:
    assert service.answered(await service.scan(draw(RED)), 406)["rule"] == "no-red"
    (decision,) = service.ledger.recorded
    assert decision.labels[-5:] == tuple(f"nsfwjs/{each}" for each in OUTPUT_BY_CLASS.values())


# What is recorded and logged


async def test_nothing_is_recorded_and_one_line_is_logged(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await detect(service, images(draw(RED), b"GIF89a"), **{"x-request-id": "misskey-1"})
    assert service.ledger.recorded == []
    lines = [each.getMessage() for each in caplog.records if each.name.startswith("serve_app")]
    (line,) = lines
    assert "detection answered 200: 1 of 2 parts (IMAGE_DECODE_FAILED)" in line
    assert "X-Request-ID=misskey-1" in line
    assert service.misskey_secret not in line
    assert "Porn" not in line


async def test_no_part_reaches_a_disk(
    service: Service, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a picture was about to be written to a file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", refuse)
    large = draw(RED, size=(600, 500), compress_level=0)
    assert 900_000 < len(large) < MAX_PART_BYTES
    results = results_of(await detect(service, images(*[large] * MAX_PARTS)), MAX_PARTS)
    assert {top_class(each) for each in results} == {"Porn"}


@pytest.mark.parametrize("told", ["misskey-abc.123_DEF", "x" * 128])
async def test_an_id_of_the_caller_is_repeated(service: Service, draw: Callable[..., bytes], told: str) -> None:
    ids = {"x-request-id": told}
    assert (await detect(service, images(draw(RED)), **ids)).headers["x-request-id"] == told
    response = await service.request("POST", DETECT, content=b"x", headers=ids)
    refused(response, 401, ErrorCode.AUTHENTICATION_REQUIRED)
    assert response.headers["x-request-id"] == told


@pytest.mark.parametrize("told", ["", "bad id with spaces", "x" * 129, "a\tb", "ü", "a,b"])
async def test_an_id_that_is_unfit_for_a_log_is_replaced(
    service: Service, draw: Callable[..., bytes], told: str
) -> None:
    headers = headers_of(service) | {"x-request-id": told.encode("latin-1")}
    response = await service.request("POST", DETECT, files=images(draw(RED)), headers=headers)
    assert response.status_code == 200
    assert len(response.headers["x-request-id"]) == 32
    assert response.headers["x-request-id"].isalnum()


# Overload, and a deadline


async def test_parts_are_looked_at_together(service: Service, draw: Callable[..., bytes]) -> None:
    service.preprocessor.hangs = True
    asked = asyncio.create_task(detect(service, images(*[draw(RED)] * 4)))
    while service.preprocessor.calls < 4:
        service.preprocessor.entered.clear()
        await service.preprocessor.entered.wait()
    service.preprocessor.release.set()
    results_of(await asked, 4)
    assert service.scorer.loads[0].coming > 0, "the scorer knows that more are coming"


async def test_what_hangs_is_answered_at_our_deadline(
    misskey: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = misskey(deadline_s=0.1)
    service.scorer.hangs = True
    response = await detect(service, images(draw(RED), draw(GREEN)))
    refused(response, 503, ErrorCode.MODEL_UNAVAILABLE, "inference_saturated")


async def test_a_body_that_does_not_end_is_answered_at_our_deadline(misskey: Callable[..., Service]) -> None:
    service = misskey(deadline_s=0.1)

    async def body() -> AsyncIterator[bytes]:
        yield b"--edge\r\n"
        await asyncio.Event().wait()

    for content_type in (MULTIPART, "image/png"):
        headers = headers_of(service, **{"content-type": content_type})
        response = await service.request("POST", DETECT, content=body(), headers=headers)
        refused(response, 503, ErrorCode.MODEL_UNAVAILABLE)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (OverloadedError("12 views are ahead"), "inference_saturated"),
        (DeadlineExceededError("too late"), "inference_saturated"),
        (UnavailableError("the scorer is down"), "model_unavailable"),
        (RuntimeError("a fault of ours"), "model_unavailable"),
    ],
)
async def test_where_nothing_can_be_scanned_now_there_is_no_list(
    service: Service, draw: Callable[..., bytes], fault: Exception, reason: str
) -> None:
    service.scorer.fault = fault
    response = await detect(service, [*images(draw(RED), draw(GREEN)), ("c", ("c", b"", "image/png"))])
    refused(response, 503, ErrorCode.MODEL_UNAVAILABLE, reason)
    assert "connection" not in response.headers
    # What can never be scanned needs no model.
    (result,) = results_of(await detect(service, images(b"")), 1)
    assert result["error"]["code"] == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (OverloadedError("12 views are ahead"), ErrorCode.DETECTION_FAILED),
        (DeadlineExceededError("too late"), ErrorCode.DETECTION_FAILED),
        (UnavailableError("the scorer is down"), ErrorCode.MODEL_UNAVAILABLE),
    ],
)
async def test_where_some_parts_were_scanned_the_list_is_whole(
    service: Service, draw: Callable[..., bytes], fault: Exception, code: ErrorCode
) -> None:
    class FirstAlone(ColourClassifier):
        def encode(self, staged: NDArray[np.uint8]) -> NDArray[np.float32]:
            if staged[0, 0, 0, 0] == 0:
                raise fault
            return super().encode(staged)

    service.scorer.engine = FirstAlone(service.scorer.engine.labels)  # type: ignore[attr-defined]
    results = results_of(await detect(service, images(draw(GREEN), draw(RED), draw(BLUE))), 3)
    assert top_class(results[1]) == "Porn"
    assert [results[0]["error"]["code"], results[2]["error"]["code"]] == [code, code]


async def test_a_full_service_refuses_before_it_reads_the_body(service: Service, draw: Callable[..., bytes]) -> None:
    service.preprocessor.hangs = True
    inside = [asyncio.create_task(service.scan(draw("white", (16, 16 + at)))) for at in range(60)]
    while service.preprocessor.calls < 60:
        service.preprocessor.entered.clear()
        await service.preprocessor.entered.wait()
    # Room for four more.
    refused(await detect(service, images(*[draw(RED)] * 5)), 503, ErrorCode.MODEL_UNAVAILABLE, "inference_saturated")
    last = asyncio.create_task(detect(service, images(*[draw(RED)] * 4)))
    while service.preprocessor.calls < 64:
        service.preprocessor.entered.clear()
        await service.preprocessor.entered.wait()
    headers = headers_of(service, **{"content-type": MULTIPART})
    response = await service.request("POST", DETECT, content=service.unreadable(), headers=headers)
    refused(response, 503, ErrorCode.MODEL_UNAVAILABLE, "inference_saturated")
    assert "connection" not in response.headers
    health = await service.request("GET", HEALTH)
    assert (health.status_code, health.json()) == (503, {"status": "unavailable", "reason": "inference_saturated"})
    # What can never succeed is refused for what it is.
    response = await service.request("POST", DETECT, content=b"x", headers=headers_of(service))
    refused(response, 415, ErrorCode.UNSUPPORTED_MEDIA_TYPE)
    service.preprocessor.release.set()
    results_of(await last, 4)
    assert {each.status_code for each in await asyncio.gather(*inside)} == {200}
    assert (await service.request("GET", HEALTH)).status_code == 200


async def test_a_body_without_room_in_memory_is_refused_before_it_is_read(
    misskey: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = misskey(limits={"max_inside_bytes": 2_000_000, "max_body_bytes": 2_000_000})
    service.preprocessor.hangs = True
    inside = asyncio.create_task(service.scan(draw("white", (800, 700), compress_level=0)))
    await service.preprocessor.entered.wait()
    headers = headers_of(service, **{"content-type": MULTIPART, "content-length": "700000"})
    response = await service.request("POST", DETECT, content=service.unreadable(), headers=headers)
    refused(response, 503, ErrorCode.MODEL_UNAVAILABLE, "inference_saturated")
    assert response.headers["connection"] == "close"
    service.preprocessor.release.set()
    assert (await inside).status_code == 200


async def test_a_lane_is_not_chosen_by_the_caller(service: Service, draw: Callable[..., bytes]) -> None:
    """Somebody waits for each answer."""
    results_of(await detect(service, images(draw(RED)), **{LANE_HEADER: "background"}), 1)
    assert service.preprocessor.lanes == ["live"]


# Whether it is there


async def test_health_needs_no_secret(service: Service) -> None:
    response = await service.request("GET", HEALTH)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_health_says_that_no_model_is_warm(service: Service) -> None:
    service.scorer.asleep = UnavailableError("it is being loaded")
    response = await service.request("GET", HEALTH)
    assert (response.status_code, response.json()) == (503, {"status": "unavailable", "reason": "model_unavailable"})


async def test_without_a_classifier_the_paths_do_not_exist(make_service: Callable[..., Service]) -> None:
    service = make_service()
    for method, path in (("POST", DETECT), ("GET", HEALTH)):
        response = await service.request(method, path, headers=headers_of(service))
        assert service.answered(response, 404)["reason"] == "not_found"


async def test_without_a_secret_the_paths_do_not_exist(
    make_service: Callable[..., Service], caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"misskey": {"classifier": "nsfwjs"}, "authentication": {"misskey_secrets_env": "ANOTHER"}}
    service = make_service(misskey_secrets="", **settings)
    for method, path in (("POST", DETECT), ("GET", HEALTH)):
        response = await service.request(method, path, headers=headers_of(service))
        assert service.answered(response, 404)["reason"] == "not_found"
    assert "set ANOTHER in the environment" in caplog.text
