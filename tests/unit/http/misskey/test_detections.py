"""Misskey's detector API, as Misskey's client speaks it (docs/misskey.md): what is detected, recorded and logged."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from serve_app.domain import UnavailableError
from serve_app.misskey_api import MAX_PART_BYTES, MAX_PARTS, ErrorCode
from serve_app.models.fake import FakeEngine
from tests.unit.colour_classifier import ColourClassifier
from tests.unit.http.misskey.client import (
    BLACK,
    BLUE,
    CLASS_OF,
    DETECT,
    GOLDEN,
    GREEN,
    HEALTH,
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
        def encode(self, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
            values = super().encode(uploaded)
            values[uploaded.mean(axis=(1, 2, 3)) == 0, -1] = np.nan
            return values

    service.misskey_scorer.engine = Broken(service.misskey_scorer.engine.labels)  # type: ignore[attr-defined]
    results = results_of(await detect(service, images(draw(RED), draw(BLACK))), 2)
    assert top_class(results[0]) == "Porn"
    assert results[1]["error"]["code"] == ErrorCode.MODEL_UNAVAILABLE


async def test_a_scorer_of_other_labels_is_no_classifier(service: Service, draw: Callable[..., bytes]) -> None:
    """As a scorer of an earlier configuration, that has not been replaced yet."""
    service.misskey_scorer.engine = FakeEngine(service.policy.labels)
    response = await detect(service, images(draw(RED)))
    refused(response, 503, ErrorCode.MODEL_UNAVAILABLE, "model_unavailable")


async def test_pictures_of_pict_rs_are_judged_and_recorded_as_without_misskey(
    service: Service, draw: Callable[..., bytes]
) -> None:
    results_of(await detect(service, images(draw(RED))), 1)
    assert service.scorer.calls == 0
    assert service.answered(await service.scan(draw(RED)), 406)["rule"] == "no-red"
    assert service.misskey_scorer.calls == 1
    (decision,) = service.ledger.recorded
    assert decision.labels == service.policy.labels
    assert decision.model == service.scorer.engine.identity


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


# Whether it is there


async def test_health_needs_no_secret(service: Service) -> None:
    response = await service.request("GET", HEALTH)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_health_says_that_no_model_is_warm(service: Service) -> None:
    service.misskey_scorer.asleep = UnavailableError("it is being loaded")
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
