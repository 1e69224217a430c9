"""A full service: what is refused before it is read, and what is remembered all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from serve_app.domain import OverloadedError, UnscannedReason
from serve_app.http.front_end import FULL_FOR_HEADER, REFUSED_HEADER

if TYPE_CHECKING:
    from tests.unit.conftest import Service


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
    assert service.answered(response, 503)["reason"] == "overloaded"
    assert response.headers["retry-after"] == "30"
    assert "connection" not in response.headers
    assert int(response.headers[FULL_FOR_HEADER]) == round(service.moderator.full_for_s * 1e3) > 0
    assert read == 0
    service.preprocessor.release.set()
    assert {each.status_code for each in await asyncio.gather(*inside)} == {200}
    service.answered(await service.scan(draw("white", (16, 100))), 200)


async def test_what_a_full_service_lets_through_is_remembered(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(on_unscanned="accept")
    inside = await full(service, draw)
    response = await service.scan(draw("white", (16, 100)))
    assert service.answered(response, 200)["reason"] == "overloaded"
    assert FULL_FOR_HEADER not in response.headers, "the front end would refuse what is to be let through"
    assert [each.outcome for each in service.ledger.recorded] == [UnscannedReason.OVERLOADED]
    service.preprocessor.release.set()
    await asyncio.gather(*inside)


async def test_a_stage_that_refuses_says_nothing_of_the_next_picture(
    service: Service, draw: Callable[..., bytes]
) -> None:
    service.scorer.fault = OverloadedError("12 views are ahead")
    response = await service.scan(draw("white"))
    assert service.answered(response, 503)["reason"] == "overloaded"
    assert FULL_FOR_HEADER not in response.headers


@pytest.mark.parametrize(("told", "counted"), [("20", 20), ("0", 0), ("-1", 0), ("many", 0), ("", 0), ("9" * 30, 0)])
async def test_what_the_front_end_refused_counts_as_demand(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture, told: str, counted: int
) -> None:
    caplog.set_level("INFO", "serve_app.http.app")
    service.answered(await service.scan(draw("white"), headers={REFUSED_HEADER: told}), 200)
    assert service.admission.refused_before == counted
    assert ("refused by the front end" in caplog.text) == (counted > 0)


async def test_only_who_knows_the_secret_is_believed(service: Service, draw: Callable[..., bytes]) -> None:
    wrong = "/api/v1/scan/wrong"
    service.answered(await service.scan(draw("white"), wrong, headers={REFUSED_HEADER: "20"}), 401)
    assert service.admission.refused_before == 0
