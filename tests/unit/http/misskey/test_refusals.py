"""Requests and parts of Misskey's that are refused, each with its code."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from serve_app.domain import PictwardenError, RequestError, UnscannedError
from serve_app.http.routes.misskey import CODES, STATUSES
from serve_app.misskey_api import MAX_DETECT_BODY_BYTES, MAX_PART_BYTES, MAX_PARTS, ErrorCode
from tests.unit.http.misskey.client import (
    BLUE,
    CLASS_OF,
    DETECT,
    GREEN,
    MULTIPART,
    RED,
    detect,
    headers_of,
    images,
    refused,
    results_of,
    top_class,
)

if TYPE_CHECKING:
    from tests.unit.conftest import Service


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
