"""A full service: what is refused before it is read, and what is remembered all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import httpx

from serve_app.domain import UnscannedReason

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
    assert read == 0
    service.preprocessor.release.set()
    assert {each.status_code for each in await asyncio.gather(*inside)} == {200}
    service.answered(await service.scan(draw("white", (16, 100))), 200)


async def test_what_a_full_service_lets_through_is_remembered(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(on_unscanned="accept")
    inside = await full(service, draw)
    assert service.answered(await service.scan(draw("white", (16, 100))), 200)["reason"] == "overloaded"
    assert [each.outcome for each in service.ledger.recorded] == [UnscannedReason.OVERLOADED]
    service.preprocessor.release.set()
    await asyncio.gather(*inside)
