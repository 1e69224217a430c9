"""Misskey is answered in time, and never with a short list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.domain import DeadlineExceededError, OverloadedError, StalledError, UnavailableError
from serve_app.misskey_api import ErrorCode
from serve_app.wire import LANE_HEADER
from tests.unit.colour_classifier import ColourClassifier
from tests.unit.http.misskey.client import (
    BLUE,
    DETECT,
    GREEN,
    HEALTH,
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


async def test_parts_are_looked_at_together(service: Service, draw: Callable[..., bytes]) -> None:
    service.preprocessor.hangs = True
    asked = asyncio.create_task(detect(service, images(*[draw(RED)] * 4)))
    while service.preprocessor.calls < 4:
        service.preprocessor.entered.clear()
        await service.preprocessor.entered.wait()
    service.preprocessor.release.set()
    results_of(await asked, 4)
    assert service.misskey_scorer.loads[0].coming > 0, "the scorer knows that more are coming"


async def test_what_hangs_is_answered_at_our_deadline(
    misskey: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = misskey(deadline_s=1.0)
    service.misskey_scorer.hangs = True
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
    service.misskey_scorer.fault = fault
    response = await detect(service, [*images(draw(RED), draw(GREEN)), ("c", ("c", b"", "image/png"))])
    refused(response, 503, ErrorCode.MODEL_UNAVAILABLE, reason)
    assert "connection" not in response.headers
    # What can never be scanned needs no model.
    (result,) = results_of(await detect(service, images(b"")), 1)
    assert result["error"]["code"] == ErrorCode.INVALID_REQUEST


def scoring_red_alone(service: Service, fault: Exception) -> None:
    """Every other picture fails."""

    class RedAlone(ColourClassifier):
        def encode(self, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
            if uploaded[0, 0, 0, 0] == 0:
                raise fault
            return super().encode(uploaded)

    service.misskey_scorer.engine = RedAlone(service.misskey_scorer.engine.labels)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (StalledError("these bytes made a decoder wait"), ErrorCode.DETECTION_FAILED),
        (UnavailableError("the scorer is down"), ErrorCode.MODEL_UNAVAILABLE),
    ],
)
async def test_where_some_parts_were_scanned_the_list_is_whole(
    service: Service, draw: Callable[..., bytes], fault: Exception, code: ErrorCode
) -> None:
    scoring_red_alone(service, fault)
    results = results_of(await detect(service, images(draw(GREEN), draw(RED), draw(BLUE))), 3)
    assert top_class(results[1]) == "Porn"
    assert [results[0]["error"]["code"], results[2]["error"]["code"]] == [code, code]


@pytest.mark.parametrize("fault", [OverloadedError("12 views are ahead"), DeadlineExceededError("too late")])
async def test_a_service_without_room_for_one_part_has_none_for_the_request(
    service: Service, draw: Callable[..., bytes], fault: Exception
) -> None:
    scoring_red_alone(service, fault)
    response = await detect(service, images(draw(RED), draw(GREEN), b"", draw(RED)))
    refused(response, 503, ErrorCode.MODEL_UNAVAILABLE, "inference_saturated")
    assert "connection" not in response.headers


async def test_the_other_parts_of_a_refused_request_make_room(
    service: Service, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = left = 0

    async def score(*_: object) -> None:
        nonlocal asked, left
        asked += 1
        if asked == 4:
            raise OverloadedError("3 views wait")
        try:
            await asyncio.Event().wait()
        finally:
            left += 1

    monkeypatch.setattr(service.misskey_scorer, "score", score)
    response = await detect(service, images(*[draw(RED)] * 4))
    refused(response, 503, ErrorCode.MODEL_UNAVAILABLE, "inference_saturated")
    assert (asked, left) == (4, 3)
    assert (await service.request("GET", HEALTH)).status_code == 200


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
